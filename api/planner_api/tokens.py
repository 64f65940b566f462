"""Who calls, and the access tokens (JWT) that say so. Other tokens are opaque: `planner_common.tokens`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import jwt
from starlette.requests import Request

ALGORITHM = "HS256"
ISSUER = "planner"
AUDIENCE = "planner-api"
LONGEST_TOKEN = 1000

ACCOUNT = "account"
"""The scope that only a login gives: managing sessions and tokens."""
LOGIN_SCOPES = frozenset({"read", "write", ACCOUNT})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an account, logged in by an access token or a personal token."""

    account_id: UUID
    person_id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None
    """When the token stops being good; None: not by itself."""


def token_of(request: Request) -> str:
    """The token that a request shows as `Authorization: Bearer …`; empty without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class AccessTokens:
    """Issues and verifies access tokens. Verifying needs no database, so they are short-lived."""

    def __init__(self, key: str, seconds: int) -> None:
        self._key = key
        self.seconds = seconds
        # A client shows the same token with each request, and its signature does not change.
        self._caller = lru_cache(maxsize=4096)(self._verified)

    def issue(self, account_id: UUID, person_id: UUID) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(account_id),
            "person": str(person_id),
            "iat": now,
            "exp": now + timedelta(seconds=self.seconds),
        }
        return jwt.encode(claims, self._key, ALGORITHM)

    def verify(self, token: str) -> Caller | None:
        """Whose token it is; None when it is not good (any more)."""
        if len(token) > LONGEST_TOKEN:
            return None
        try:
            caller = self._caller(token)
        except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError, OverflowError):
            return None
        return caller if caller.expires_at is None or caller.expires_at > datetime.now(UTC) else None

    def _verified(self, token: str) -> Caller:
        claims = jwt.decode(
            token,
            self._key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "sub", "person"]},
        )
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        return Caller(UUID(claims["sub"]), UUID(claims["person"]), LOGIN_SCOPES, expires_at)
