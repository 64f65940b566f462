"""Which addresses lead out, and what is caught of a URL when it is given."""

from ipaddress import ip_address, ip_network

import pytest
from planner_common.addresses import URL_LIMIT, check_apprise_url, check_url
from planner_common.networks import is_public
from planner_common.settings import Settings
from pydantic import ValidationError


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_what_is_routed_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # not bound to
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "fd00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_what_leads_inside_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


def test_a_network_can_be_allowed_but_metadata_cannot() -> None:
    inside = (ip_network("10.0.0.0/8"), ip_network("169.254.0.0/16"), ip_network("fd00::/8"))
    assert is_public(ip_address("10.1.2.3"), inside)
    assert is_public(ip_address("::ffff:10.1.2.3"), inside)
    assert is_public(ip_address("fd00::1"), inside)
    assert not is_public(ip_address("192.168.0.1"), inside)
    assert not is_public(ip_address("169.254.169.254"), inside)
    assert not is_public(ip_address("::ffff:169.254.169.254"), inside)
    assert not is_public(ip_address("fd00:ec2::254"), inside)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/planner?key=1",
        "https://hooks.example.org:8443/",
        "HTTPS://Hooks.Example.ORG./",
        "https://пример.рф/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
    ],
)
def test_a_public_url_is_taken(url: str) -> None:
    check_url(url, Settings())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://example.org/", "begin with https://"),
        ("ftp://example.org/", "begin with https://"),
        ("example.org", "begin with https://"),
        ("https://user:password@example.org/", "user name"),
        ("https://8.8.8.8@127.0.0.1/", "user name"),
        ("https://example.org/#there", "fragment"),
        ("https://example.org:22/", "must be one of 80, 443, 8080, 8443, not 22"),
        ("https://example.org:0/", "not 0"),
        ("https://example.org:65536/", "from 1 to 65535"),
        ("https://example.org:x/", "from 1 to 65535"),
        ("https:///path", "not the name"),
        ("https://[::1/", "not a URL"),
        ("https://exa mple.org/", "spaces"),
        ("https://example.org\\@127.0.0.1/", "backslashes"),
        ("https://example.org/\r\nHost: inside", "spaces"),
        ("https://example.org%00.inside/", "not the name"),
        ("https://a..b/", "not the name"),
        ("https://127.0.0.1../", "not the name"),
        ("https://example.org/" + URL_LIMIT * "x", "longer than"),
        ("https://localhost/", "not a public name"),
        ("https://redis/", "not a public name"),
        ("https://metadata.google.internal/", "not a public name"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://127.0.0.1./", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://[::1]/", "not a public address"),
        ("https://[::ffff:127.0.0.1]/", "not a public address"),
        ("https://[fe80::1%25eth0]/", "not a public address"),
        ("https://①②⑦.⓪.⓪.①/", "not a public address"),
        ("https://127。0。0。1/", "not a public address"),
        ("https://2130706433/", "usual spelling"),
        ("https://127.1/", "usual spelling"),
        ("https://0177.0.0.1/", "usual spelling"),
        ("https://0x7f.0.0.0x1/", "usual spelling"),
        ("https://0x7f000001/", "usual spelling"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, complaint: str) -> None:
    with pytest.raises(ValueError) as raised:
        check_url(url, Settings())
    assert complaint in str(raised.value)


def test_settings_may_allow_more() -> None:
    settings = Settings(webhook_http=True, outbound_ports="80, 9000", outbound_networks="127.0.0.0/8, fd00::/8")
    for url in ("http://127.0.0.1:9000/", "http://[fd00::1]/", "http://sink/", "https://localhost:9000/"):
        check_url(url, settings)
    for url in ("http://10.0.0.1/", "https://127.0.0.1/"):  # another network, another port
        with pytest.raises(ValueError):
            check_url(url, settings)


@pytest.mark.parametrize(
    "setting",
    [
        {"outbound_ports": ""},
        {"outbound_ports": "443,x"},
        {"outbound_ports": "0"},
        {"outbound_ports": "65536"},
        {"outbound_networks": "10.0.0.1/8"},
        {"outbound_networks": "inside"},
    ],
)
def test_a_setting_that_means_nothing_ends_the_start(setting: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(setting)


@pytest.mark.parametrize(
    "url", ["tgram://123456:abc/42/", "ntfys://ntfy.example.org/topic", "json://hooks.example.org"]
)
def test_an_apprise_url_is_taken_by_its_shape(url: str) -> None:
    check_apprise_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "tgram",
        "tgram://",
        "://x",
        "http://example.org/config",
        "FILE:///etc/passwd",
        "syslog://x",
        "mailto://ann:pw@example.org",
        "mqtt://x",
        "json://a b",
    ],
)
def test_what_is_no_apprise_url_is_not(url: str) -> None:
    with pytest.raises(ValueError):
        check_apprise_url(url)
