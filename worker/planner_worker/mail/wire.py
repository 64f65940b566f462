"""The conversation on an open connection, after aiosmtplib has connected, agreed on TLS and logged in.

Of our own for two reasons: commands go out together where the server allows it (PIPELINING, RFC 2920), which spares a
mail two of four round trips; and whoever writes the end of a mail knows that it did, which decides what a lost answer
means.
"""

import asyncio
import re

from aiosmtplib import SMTP, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

REPLY_LIMIT = 32_768
"""Bytes of a reply that nobody has read the end of."""
LINE = re.compile(rb"([0-9]{3})(?:([ -])([^\n]*))?\r?\n")
MALFORMED = -1


class Wire(asyncio.Protocol):
    """`Wire(smtp)` takes an open connection over."""

    def __init__(self, smtp: SMTP) -> None:
        """Raises SMTPServerDisconnected if it is open no more."""
        transport = smtp.transport
        if not isinstance(transport, asyncio.Transport) or transport.is_closing():
            raise SMTPServerDisconnected("Connection lost")
        self._transport = transport
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        transport.set_protocol(self)

    @property
    def is_quiet(self) -> bool:
        """It is open, and nothing was said that nobody asked for."""
        return not self._lost and not self._transport.is_closing() and not self._buffer

    def write(self, data: bytes) -> None:
        if self._lost or self._transport.is_closing():
            raise SMTPServerDisconnected("Connection lost")
        self._transport.write(data)

    async def reply(self) -> SMTPResponse:
        """The next reply. Raises SMTPServerDisconnected, or SMTPResponseException for what is none."""
        while (found := self._found()) is None:
            if self._lost:
                raise SMTPServerDisconnected("Connection lost")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return found

    def _found(self) -> SMTPResponse | None:
        """The first reply in the buffer, if it is complete."""
        start, said = 0, []
        while (end := self._buffer.find(b"\n", start)) != -1:
            line = LINE.fullmatch(self._buffer, start, end + 1)
            if line is None:
                text = self._buffer[start:end].decode("utf-8", "replace")
                raise SMTPResponseException(MALFORMED, f"this is no reply of SMTP: {text}")
            said.append((line[3] or b"").decode("utf-8", "replace").strip())
            start = end + 1
            if line[2] != b"-":
                code = int(line[1])
                del self._buffer[:start]
                return SMTPResponse(code, "\n".join(said))
        if len(self._buffer) > REPLY_LIMIT:
            raise SMTPResponseException(MALFORMED, "the reply has no end")
        return None

    def close(self) -> None:
        """What was written still leaves."""
        self._transport.close()

    def abort(self) -> None:
        """What was written and has not left yet, does not."""
        self._transport.abort()

    # ---- called by the event loop

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > 2 * REPLY_LIMIT:  # nobody reads: whoever comes next will see that it is lost
            self._transport.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
