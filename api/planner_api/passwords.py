"""Passwords: Argon2id, in threads, and few at a time, since each hash takes 64 MiB and a core for a while."""

import asyncio
import os

from pwdlib import PasswordHash

AT_ONCE = max(1, (os.cpu_count() or 2) // 2)


class Passwords:
    """Hashes and verifies. `hasher` is for tests; what is recommended today is pwdlib's to know."""

    def __init__(self, hasher: PasswordHash | None = None) -> None:
        self._hash = hasher or PasswordHash.recommended()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hash.hash, password)

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether the password is right, and a renewed hash where the stored one is of weaker parameters.

        With no account there is nothing stored: that takes as long, so that the time does not tell who has one.
        """
        if stored is None:
            self._dummy = self._dummy or await self.hash("nobody's password")
        async with self._turns:
            good, renewed = await asyncio.to_thread(self._hash.verify_and_update, password, stored or self._dummy or "")
        return (good, renewed) if stored is not None else (False, None)
