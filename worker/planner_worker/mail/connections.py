"""Connections to the mail server: kept, used again, and never trusted to be still there.

Between two tasks of a worker its event loop stands still, so what the server did meanwhile (closing, saying 421) is
seen only at the next use. A mail that meets such a connection before any of it was sent goes to a fresh one; once its
end may have left this machine it is not sent again, for nobody can say whether the server took it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiosmtplib import SMTP, SMTPResponse, SMTPServerDisconnected

from planner_worker.mail.replies import DONE, START_INPUT, UNAVAILABLE, Stage

MAILS = 100
"""After so many a connection is closed: many servers take no more on one."""
IDLE_SECONDS = 60
"""So long unused, a connection is not tried again: what lies between may have forgotten it without a word."""
QUIT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a mail is from and to, as SMTP writes it, and the mail, with its dots doubled and CRLF at its end."""

    sender: str
    recipient: str
    content: bytes
    utf8: bool = False
    """It needs a server that takes addresses beyond ASCII (RFC 6531)."""


@dataclass(slots=True)
class Progress:
    """How far a mail has come: for when it comes no further."""

    stage: Stage = Stage.QUEUE
    on_end: Callable[[], None] = field(default=lambda: None)
    """Called before the mail itself leaves."""


class NotSupportedError(Exception):
    """The server does not offer what this mail needs."""


class Connection:
    """An open one, used by one mail at a time."""

    def __init__(self, smtp: SMTP) -> None:
        self._smtp = smtp
        self._begun = False
        """The server remembers a sender and perhaps a recipient."""
        self.mails = 0
        self.used_at = 0.0

    async def send(self, envelope: Envelope, progress: Progress) -> SMTPResponse:
        """The reply at which the conversation about this mail ended; `progress` tells to what.

        Raises NotSupportedError, and SMTPException when the connection is of no use any more.
        """
        if envelope.utf8 and not self._smtp.supports_extension("smtputf8"):
            raise NotSupportedError
        self.mails += 1
        if self._begun:
            progress.stage = Stage.RSET
            reply = await self._say(b"RSET")
            if reply.code // 100 != DONE:
                raise SMTPServerDisconnected(f"RSET was answered with {reply.code}")
        self._begun = True
        encoding = "utf-8" if envelope.utf8 else "ascii"
        progress.stage = Stage.MAIL
        options = [b"SIZE=%d" % len(envelope.content)] if self._smtp.supports_extension("size") else []
        options += [b"SMTPUTF8"] if envelope.utf8 else []
        reply = await self._say(b"MAIL", b"FROM:<%b>" % envelope.sender.encode(encoding), *options)
        if reply.code // 100 == DONE:
            progress.stage = Stage.RCPT
            reply = await self._say(b"RCPT", b"TO:<%b>" % envelope.recipient.encode(encoding))
        if reply.code // 100 == DONE:
            progress.stage = Stage.DATA
            reply = await self._say(b"DATA")
            if reply.code // 100 == DONE:  # nothing was sent, so nothing can have been taken
                reply = SMTPResponse(451, f"DATA was answered with {reply.code} {reply.message}")
        if reply.code != START_INPUT:
            return reply
        protocol = self._smtp.protocol
        if protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        progress.stage = Stage.END
        progress.on_end()
        # Not `SMTP.data`: it goes through the whole mail three times for what `letters` did once for thousands.
        protocol.write(envelope.content + b".\r\n")
        reply = await protocol.read_response()
        self._begun = False
        return reply

    async def _say(self, *words: bytes) -> SMTPResponse:
        return await self._smtp.execute_command(*words)

    @property
    def is_open(self) -> bool:
        return self._smtp.is_connected

    def drop(self, *, politely: bool) -> None:
        """Close without waiting for anything; `politely`: with a QUIT."""
        protocol = self._smtp.protocol
        if politely and protocol is not None:
            with suppress(SMTPServerDisconnected):
                protocol.write(b"QUIT\r\n")
        self._smtp.close()

    async def quit(self) -> None:
        with suppress(Exception):
            async with asyncio.timeout(QUIT_SECONDS):
                await self._smtp.quit()
        self._smtp.close()


class Pool:
    """At most `size` connections at a time, opened when they are needed."""

    def __init__(self, make: Callable[[], SMTP], size: int) -> None:
        self._make = make
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def send(self, envelope: Envelope, progress: Progress) -> SMTPResponse:
        """As `Connection.send`; also raises what opening a connection may raise."""
        async with self._free:
            while (connection := self._rested()) is not None:
                with suppress(SMTPServerDisconnected):
                    reply = await self._use(connection, envelope, progress)
                    if reply.code != UNAVAILABLE or progress.stage is Stage.END:
                        return reply
                if progress.stage is Stage.END:
                    raise SMTPServerDisconnected("Connection lost")
            progress.stage = Stage.CONNECT
            return await self._use(await self._opened(), envelope, progress)

    async def _opened(self) -> Connection:
        smtp = self._make()
        await smtp.connect()
        if smtp.is_ehlo_or_helo_needed:
            try:
                await smtp.ehlo()
            except BaseException:
                smtp.close()
                raise
        return Connection(smtp)

    async def _use(self, connection: Connection, envelope: Envelope, progress: Progress) -> SMTPResponse:
        try:
            reply = await connection.send(envelope, progress)
        except NotSupportedError:
            self._keep(connection)
            raise
        except BaseException:  # also a task that was cancelled: what the server says next would be about this mail
            connection.drop(politely=False)
            raise
        self._keep(connection)
        return reply

    def _keep(self, connection: Connection) -> None:
        if connection.mails >= MAILS or not connection.is_open:
            connection.drop(politely=True)
            return
        connection.used_at = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def _rested(self) -> Connection | None:
        """The connection used last, as far as one is open."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and asyncio.get_running_loop().time() - connection.used_at < IDLE_SECONDS:
                return connection
            connection.drop(politely=True)
        return None

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))
