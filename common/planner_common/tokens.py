"""Opaque secrets that callers show, of which only the hash is stored: personal tokens, refresh tokens and those in the
addresses of calendars."""

import base64
import hashlib
import hmac
import secrets
import zlib

PERSONAL_PREFIX = "planner_pat_"
REFRESH_PREFIX = "planner_rt_"
CALENDAR_PREFIX = "planner_cal_"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _written(prefix: str, secret: bytes) -> str:
    """Prefix and checksum let scanners find leaked ones without asking anybody."""
    body = prefix + base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return body + _checksum(body)


def new_secret(prefix: str) -> str:
    """A token of 256 random bits."""
    return _written(prefix, secrets.token_bytes(32))


def derived_secret(prefix: str, key: str, purpose: str) -> str:
    """The token of 256 bits that whoever knows the key makes for a purpose, the same each time."""
    return _written(prefix, hmac.digest(key.encode(), purpose.encode(), "sha256"))


def looks_genuine(token: str, prefix: str) -> bool:
    """Whether it is worth a look into the database."""
    return token.isascii() and token.startswith(prefix) and _checksum(token[:-8]) == token[-8:]


def digest(token: str) -> bytes:
    """What is stored of a secret. A plain hash: what has 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
