"""Bodies of accounts, sessions and personal tokens."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from planner_api.schemas.common import EmailAddress, In, Instant, Locale, Name, Out, TimeZone

Password = Annotated[str, StringConstraints(min_length=8, max_length=128)]
"""NIST SP 800-63B: a minimum, room for a passphrase, and no rule on what characters it has."""
Scope = Literal["read", "write"]


class Registration(In):
    email: EmailAddress
    password: Password
    name: Name
    time_zone: TimeZone = "UTC"
    locale: Locale = "en"


class AccountChanges(In):
    """What is left out stays as it is."""

    name: Name = ""
    time_zone: TimeZone = ""
    locale: Locale = ""


class Account(Out):
    id: UUID
    email: str
    name: str
    time_zone: str
    locale: str
    created_at: Instant


class RefreshToken(In):
    refresh_token: Annotated[str, StringConstraints(max_length=200)]


class Session(Out):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the name of a type
    expires_in: int
    """Seconds."""
    refresh_token: str


class TokenRequest(In):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2)]
    expires_at: AwareDatetime | None = None


class PersonalToken(Out):
    id: UUID
    name: str
    scopes: list[Scope]
    expires_at: Instant | None
    last_used_at: Instant | None
    """To the hour."""
    created_at: Instant


class NewPersonalToken(PersonalToken):
    token: str
    """Shown this once: only its hash is kept."""


class PersonalTokens(Out):
    items: list[PersonalToken]
    next_cursor: str | None
