"""URLs that users give Planner to send to, looked at when they are given, without the network.

This catches what is plainly wrong while somebody is there to read why. What decides is the worker, at every connection,
by the address that the name has then (`planner_worker.outbound`). Both go by `planner_common.networks`.
"""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import idna

from planner_common.networks import HIGHEST_PORT, Limits, Networks, is_public
from planner_common.services import SERVICES
from planner_common.settings import Settings

URL_LIMIT = 2_000
"""Characters that a URL may have."""
DEFAULT_PORTS = {"http": 80, "https": 443}


def check_url(url: str, settings: Settings) -> None:
    """Raises ValueError, which says what is wrong, unless this may be the URL of a webhook."""
    limits = Limits.of(settings)
    parts = _parts(url)
    if parts.scheme not in limits.schemes:
        raise ValueError(f"The URL must begin with {' or '.join(f'{scheme}://' for scheme in sorted(limits.schemes))}.")
    if "@" in parts.netloc:
        raise ValueError("The URL may not contain a user name or password: the signature says who calls.")
    if parts.fragment:
        raise ValueError("The URL may not contain a fragment (“#…”): it would not be sent.")
    try:
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"The port of the URL is not a number from 1 to {HIGHEST_PORT}.") from error
    if port not in limits.ports:
        raise ValueError(f"The port of the URL must be one of {', '.join(map(str, sorted(limits.ports)))}, not {port}.")
    check_host(parts.hostname or "", limits.networks)


def _parts(url: str) -> SplitResult:
    if len(url) > URL_LIMIT:
        raise ValueError(f"The URL is longer than {URL_LIMIT} characters.")
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise ValueError("The URL contains spaces, backslashes or characters that cannot be printed.")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValueError(f"This is not a URL: {error}.") from error


def check_host(host: str, allowed: Networks = ()) -> None:
    """Raises ValueError unless this is a public address or a name that could have one."""
    if ":" in host:
        _check_address(host, allowed)
        return
    try:
        name = idna.encode(host.removesuffix("."), uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"{host!r} is not the name of a host.") from error
    if name.endswith("."):
        raise ValueError(f"{host!r} is not the name of a host.")
    labels = name.split(".")
    # What a resolver takes for an address in some spelling (`127.1`, `0x7f.1`, `2130706433`) ends in a number; no name
    # of the public DNS does.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        _check_address(name, allowed)
    elif not allowed and (len(labels) == 1 or labels[-1] in {"localhost", "local", "internal"}):
        raise ValueError(f"{name} is not a public name.")


def _check_address(host: str, allowed: Networks) -> None:
    try:
        address = ip_address(host)
    except ValueError as error:
        raise ValueError(f"{host} is neither a name nor an IP address in its usual spelling.") from error
    if not is_public(address, allowed):
        raise ValueError(f"{host} is not a public address.")


SERVICE = re.compile(r"([a-z][a-z0-9+.-]*)://.+", re.IGNORECASE)


def check_apprise_url(url: str) -> None:
    """Raises ValueError unless this looks like an Apprise URL. Whether it works, the code that is sent to it shows."""
    if len(url) > URL_LIMIT:
        raise ValueError(f"The URL is longer than {URL_LIMIT} characters.")
    if not url.isprintable() or " " in url:
        raise ValueError("The URL contains spaces or characters that cannot be printed: write them as %20 and so on.")
    if (match := SERVICE.fullmatch(url)) is None:
        raise ValueError("This is not an Apprise URL: it must look like tgram://… or ntfys://….")
    if (service := match[1].lower()) not in SERVICES:
        raise ValueError(f"Planner does not send by {service}://.")
