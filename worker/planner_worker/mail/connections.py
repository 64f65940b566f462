"""Connections to the mail server: kept, used again, and never trusted to be still there.

Between two tasks of a worker its event loop stands still, so what the server did meanwhile (closing, saying 421) is
seen only at the next use. A mail that meets such a connection before any of it was sent goes to a fresh one; once its
end may have left this machine it is not sent again, for nobody can say whether the server took it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aiosmtplib import SMTP, SMTPResponse, SMTPServerDisconnected

from planner_worker.mail.replies import DONE, START_INPUT, UNAVAILABLE, Stage
from planner_worker.mail.wire import Wire

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
        """Raises SMTPServerDisconnected if it is open no more."""
        self._pipelining = smtp.supports_extension("pipelining")
        self._size = smtp.supports_extension("size")
        self._utf8 = smtp.supports_extension("smtputf8")
        self._wire = Wire(smtp)
        self._begun = False
        """The server remembers a sender and perhaps a recipient."""
        self.mails = 0
        self.used_at = 0.0

    async def send(self, envelope: Envelope, progress: Progress) -> SMTPResponse:
        """The reply at which the conversation about this mail ended; `progress` tells to what.

        Raises NotSupportedError, and SMTPException when the connection is of no use any more.
        """
        if envelope.utf8 and not self._utf8:
            raise NotSupportedError
        self.mails += 1
        reply = await self._agreed(self._commands(envelope), progress)
        if reply.code != START_INPUT:
            return reply
        if not self._wire.is_quiet:
            raise SMTPServerDisconnected("The server spoke out of turn")
        progress.stage = Stage.END
        progress.on_end()
        self._wire.write(envelope.content + b".\r\n")
        reply = await self._wire.reply()
        self._begun = False
        return reply

    def _commands(self, envelope: Envelope) -> list[tuple[Stage, bytes]]:
        size = f" SIZE={len(envelope.content)}" if self._size else ""
        utf8 = " SMTPUTF8" if envelope.utf8 else ""
        commands = [
            (Stage.MAIL, f"MAIL FROM:<{envelope.sender}>{size}{utf8}\r\n".encode()),
            (Stage.RCPT, f"RCPT TO:<{envelope.recipient}>\r\n".encode()),
            (Stage.DATA, b"DATA\r\n"),
        ]
        return [(Stage.RSET, b"RSET\r\n"), *commands] if self._begun else commands

    async def _agreed(self, commands: Sequence[tuple[Stage, bytes]], progress: Progress) -> SMTPResponse:
        """The go-ahead for the mail, or the first reply that is none."""
        self._begun = True
        progress.stage = commands[0][0]
        if self._pipelining:
            self._wire.write(b"".join(command for _, command in commands))
        for number, (stage, command) in enumerate(commands):
            progress.stage = stage
            if not self._pipelining:
                self._wire.write(command)
            reply = await self._wire.reply()
            if stage is Stage.RSET and reply.code // 100 != DONE:
                raise SMTPServerDisconnected(f"RSET was answered with {reply.code}")
            if not (reply.code == START_INPUT if stage is Stage.DATA else reply.code // 100 == DONE):
                await self._hear_out(0 if reply.code == UNAVAILABLE else len(commands) - number - 1)
                break
        if progress.stage is Stage.DATA and reply.code // 100 == DONE:
            raise SMTPServerDisconnected(f"DATA was answered with {reply.code}")  # the replies are not what they seem
        return reply

    async def _hear_out(self, replies: int) -> None:
        """Read what else is answered to commands that went out together, after one of them was refused."""
        if not self._pipelining:
            return
        with suppress(SMTPServerDisconnected):  # what was refused is known
            for _ in range(replies):
                if (await self._wire.reply()).code == START_INPUT:
                    self._wire.abort()  # it waits for a mail that nobody is to get

    @property
    def is_open(self) -> bool:
        return self._wire.is_quiet

    def drop(self, *, politely: bool) -> None:
        """Close without waiting for anything; `politely`: with a QUIT."""
        if not politely:
            self._wire.abort()
            return
        with suppress(SMTPServerDisconnected):
            self._wire.write(b"QUIT\r\n")
        self._wire.close()

    async def quit(self) -> None:
        with suppress(Exception):
            async with asyncio.timeout(QUIT_SECONDS):
                self._wire.write(b"QUIT\r\n")
                await self._wire.reply()
        self._wire.close()


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
        try:
            if smtp.is_ehlo_or_helo_needed:
                await smtp.ehlo()
            return Connection(smtp)
        except BaseException:
            smtp.close()
            raise

    async def _use(self, connection: Connection, envelope: Envelope, progress: Progress) -> SMTPResponse:
        try:
            reply = await connection.send(envelope, progress)
        except NotSupportedError:
            self._keep(connection)
            raise
        except BaseException:  # also a task that was cancelled: what the server says next would be about this mail
            connection.drop(politely=False)
            raise
        self._keep(connection, closing=reply.code == UNAVAILABLE)
        return reply

    def _keep(self, connection: Connection, *, closing: bool = False) -> None:
        if closing or connection.mails >= MAILS or not connection.is_open:
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
