"""What users entrust to Planner is stored sealed; links that need no login are signed. Keys rotate.

One setting, `ENCRYPTION_KEYS`, serves both: the first key seals and signs, all of them open and verify.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class UnsealedError(Exception):
    """Sealed with none of the keys, or not by us."""


class Sealer:
    """`Sealer(settings.encryption_keys)`. Authenticated encryption (Fernet) with what each key hashes to."""

    def __init__(self, keys: SecretStr | None) -> None:
        """Raises ValueError when there is no key."""
        given = [key.strip() for key in (keys.get_secret_value() if keys else "").split(",") if key.strip()]
        if not given:
            raise ValueError("ENCRYPTION_KEYS is not set")
        self._fernet = MultiFernet([_fernet(key) for key in given])

    def seal(self, value: Mapping[str, Any]) -> bytes:
        """A JSON object, sealed."""
        return self._fernet.encrypt(json.dumps(value).encode())

    def open(self, sealed: bytes) -> dict[str, Any]:
        """What was sealed. Raises UnsealedError."""
        opened: dict[str, Any] = json.loads(self._opened(sealed))
        return opened

    def reseal(self, sealed: bytes) -> bytes:
        """The same, sealed with the first key. Raises UnsealedError."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise UnsealedError from error

    def seal_bytes(self, value: bytes) -> bytes:
        return self._fernet.encrypt(value)

    def open_bytes(self, sealed: bytes) -> bytes:
        """Raises UnsealedError."""
        return self._opened(sealed)

    def _opened(self, sealed: bytes | str) -> bytes:
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise UnsealedError from error


def _fernet(key: str) -> Fernet:
    return Fernet(urlsafe_b64encode(hashlib.sha256(b"planner:" + key.encode()).digest()))


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What a link at the end of a mail may do, without a login: end mails to this person, all or those of an event."""

    person_id: UUID
    channel_id: UUID
    event_id: UUID

    def token(self, sealer: Sealer) -> str:
        """For a URL."""
        return sealer.seal_bytes(self.person_id.bytes + self.channel_id.bytes + self.event_id.bytes).decode("ascii")

    @classmethod
    def of(cls, token: str, sealer: Sealer) -> "Unsubscription":
        """Raises UnsealedError for what is not ours."""
        try:
            opened = sealer.open_bytes(token.encode("ascii"))
        except UnicodeEncodeError as error:
            raise UnsealedError from error
        if len(opened) != 3 * 16:
            raise UnsealedError
        return cls(*(UUID(bytes=opened[start : start + 16]) for start in (0, 16, 32)))
