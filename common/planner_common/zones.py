"""What the name of a zone means."""

from functools import cache, lru_cache
from zoneinfo import available_timezones


@cache
def zone_names() -> frozenset[str]:
    """The IANA names this installation knows, without what is only a file's name."""
    return frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}


@lru_cache(maxsize=1024)
def named(tzid: str) -> str | None:
    """The IANA zone that a name stands for: its own, Windows', or one behind a vendor's prefix (RFC 5545 §3.2.19)."""
    name = tzid.strip("/ ")
    if name in zone_names():
        return name
    parts = name.split("/")
    candidates = [_windows().get(name, ""), *("/".join(parts[start:]) for start in range(1, len(parts)))]
    return next((candidate for candidate in candidates if candidate in zone_names()), None)


def _windows() -> dict[str, str]:
    """Windows' names, from the Unicode Consortium's table.

    Loaded only where such a name is met, which is in the API: what is stored has IANA's names, and the other services
    do without icalendar.
    """
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON  # noqa: PLC0415  # see above

    return WINDOWS_TO_OLSON
