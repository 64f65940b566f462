"""Which networks an address that a user gave may lead to: the public Internet, and what settings allow besides."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner_common.settings import Settings  # which checks its values here

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

HIGHEST_PORT = 65_535

# What is not the public Internet by IANA's registries of special-purpose addresses (RFC 6890), of multicast and of
# address space. Written out, because `ipaddress.is_global` says other things in other patch releases of Python.
NOT_PUBLIC: Networks = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a carrier
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments; Teredo, which can name any IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, likewise any IPv4 address
        "3fff::/20",
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is routed. The rest is loopback, unique local, link-local, multicast, or not given out."""
NAT64 = IPv6Network("64:ff9b::/96")
"""What a resolver makes of IPv4 addresses where there is only IPv6 (RFC 6052): the last four bytes are what counts."""

# Metadata of clouds, which gives credentials to whoever can ask: no setting allows it. Azure's address looks public.
METADATA: frozenset[Address] = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


def is_public(address: Address, allowed: Networks = ()) -> bool:
    """Whether a connection to this address leads out, or to one of the `allowed` networks."""
    address = _meant(address)
    if address in METADATA:
        return False
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in network for network in NOT_PUBLIC)


def _meant(address: Address) -> Address:
    """The IPv4 address that a mapped or translated IPv6 address reaches."""
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in NAT64):
        return IPv4Address(address.packed[-4:])
    return address


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about addresses of users."""

    schemes: frozenset[str]
    ports: frozenset[int]
    networks: Networks

    @classmethod
    def of(cls, settings: "Settings") -> "Limits":
        return _limits(settings.outbound_ports, settings.outbound_networks, settings.webhook_http)


@lru_cache(maxsize=8)
def _limits(ports: str, networks: str, http: bool) -> Limits:
    return Limits(frozenset({"http", "https"} if http else {"https"}), ports_of(ports), networks_of(networks))


def ports_of(value: str) -> frozenset[int]:
    """The setting `OUTBOUND_PORTS`, parsed. Raises ValueError."""
    ports = [part.strip() for part in value.split(",") if part.strip()]
    if not ports or not all(port.isascii() and port.isdigit() and 0 < int(port) <= HIGHEST_PORT for port in ports):
        raise ValueError(f"ports from 1 to {HIGHEST_PORT}, separated by commas, not {value!r}")
    return frozenset(map(int, ports))


def networks_of(value: str) -> Networks:
    """The setting `OUTBOUND_NETWORKS`, parsed. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
