"""Who a notification is for: a person, known by e-mail address, with an account or without."""

import hashlib
from functools import lru_cache
from uuid import UUID


def normalize_email(email: str) -> str:
    """The form in which two spellings of one address are equal: lower case throughout.

    RFC 5321 lets the part before the @ be case-sensitive; no provider in use does, and people type either.
    """
    return email.strip().lower()


@lru_cache(maxsize=10_000)  # the same people are invited again and again
def person_id(email: str) -> UUID:
    """The id of the person behind an address: a UUIDv8 (RFC 9562 §5.8) made of the SHA-256 of the normalised address.

    Derived, not stored: who is invited as a guest and registers later, or at the same moment, is the same person
    without any row having to be found, locked or rewritten. See docs/decisions/0003-people-by-derived-id.md.
    """
    digest = bytearray(hashlib.sha256(normalize_email(email).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
