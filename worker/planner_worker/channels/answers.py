"""What other sides answer by HTTP, made fit for a log that people read."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

from planner_worker.channels import ANSWER_LIMIT

LATER = frozenset({408, 425, 429})
"""Statuses below 500 that say: not now."""
SERVER_ERRORS = range(500, 600)
REDIRECTS = range(300, 400)
SUCCESSES = range(200, 300)

SHORTEST_SECRET = 4
"""Of a password or a value of the query. Shorter ones are words like `v1`."""
SHORTEST_TOKEN = 8
"""Of another part of a URL: those are often words, which the log needs in order to say anything."""


def legible(text: str | bytes, secrets: Iterable[str]) -> str:
    """The text without control characters and without any of these secrets, cut to `ANSWER_LIMIT`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"[ \t\r\f\v]*\n\s*", "\n", text.strip())
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)[:ANSWER_LIMIT]


def secrets_of(url: str, *, host: bool) -> set[str]:
    """What of a URL is only for those who know it: everything but the scheme, and but the host if that is one."""
    rest = url.partition("://")[2]
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    user, _, end = authority.rpartition("@")
    values = [pair.partition("=")[2] for pair in query.split("&")]
    words = [*re.split(r"[:;,]", user), *values]
    tokens = [url, rest, path, f"{path}?{query}", *re.split(r"[/:;,@#+]+", path)]
    if not host:
        tokens += [place, authority, *re.split(r"[:;,@]", end)]
    kept = {word for word in words if len(word) >= SHORTEST_SECRET}
    kept |= {token for token in tokens if len(token) >= SHORTEST_TOKEN}
    return {form for part in kept for form in (part, unquote(part), quote(part, safe=""))}


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After asks for, in either of its forms (RFC 9110 §10.2.3); None for what means nothing."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    if then.tzinfo is None:  # “-0000”
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
