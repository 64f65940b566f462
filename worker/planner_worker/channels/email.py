"""E-mail, by one SMTP server.

Sending is at least once under one Message-ID: when the end of a mail may have left and no answer came, the result is
`unknown`, and whoever decides to try again knows what that may mean.
"""

import asyncio
from functools import partial

from aiosmtplib import SMTPException, SMTPResponseException
from planner_common.deliveries import ChannelType, Outcome
from planner_common.settings import Settings

from planner_worker.channels import Limits, Message, Result
from planner_worker.mail.connections import NotSupportedError, Pool, Progress
from planner_worker.mail.headers import AddressError
from planner_worker.mail.letters import Letters
from planner_worker.mail.replies import Stage, judged, said
from planner_worker.mail.server import Server

BEGIN_SECONDS = 9
"""Within them a connection is found or opened, and the server is ready for the mail."""
TOTAL_SECONDS = 24
"""The rest is for reading it and answering, which takes the longest: servers look for spam and viruses meanwhile."""


class Email:
    """The channel of `SMTP_URL`. Raises ValueError where the settings do not make sense."""

    type = ChannelType.EMAIL

    def __init__(self, settings: Settings) -> None:
        if settings.smtp_url is None:
            raise ValueError("SMTP_URL is not set")
        self.limits = Limits(settings.email_tries, settings.email_hours, settings.email_per_second)
        self._server = Server.of(settings.smtp_url.get_secret_value())
        self._letters = Letters(settings)
        self._pool = Pool(partial(self._server.connection, self._letters.domain), settings.email_connections)

    def host(self, message: Message) -> str:  # noqa: ARG002  # all mails go the same way
        return self._server.host

    async def send(self, message: Message) -> Result:
        try:
            envelope = self._letters.envelope(message)
        except AddressError as error:
            return Result(outcome=Outcome.REFUSED, detail=str(error))
        begun = asyncio.get_running_loop().time()
        progress = Progress()
        try:
            async with asyncio.timeout_at(begun + BEGIN_SECONDS) as limit:
                progress.on_end = partial(limit.reschedule, begun + TOTAL_SECONDS)
                reply = await self._pool.send(envelope, progress)
        except NotSupportedError:
            what = "the mail server takes no addresses with characters beyond ASCII (it does not offer SMTPUTF8)"
            return Result(outcome=Outcome.REFUSED, detail=what)
        except SMTPResponseException as error:
            return self._failed(progress.stage, f"{error.code} {error.message}", error.code)
        except TimeoutError:
            seconds = TOTAL_SECONDS if progress.stage is Stage.END else BEGIN_SECONDS
            return self._failed(progress.stage, f"no answer within {seconds} seconds")
        except (SMTPException, OSError) as error:
            return self._failed(progress.stage, str(error) or type(error).__name__)
        return judged(progress.stage, reply.code, reply.message)

    def _failed(self, stage: Stage, what: str, status: int | None = None) -> Result:
        """The conversation broke off. Only the mail's own end leaves open whether it was taken."""
        return Result(
            outcome=Outcome.UNKNOWN if stage is Stage.END else Outcome.LATER,
            status=status,
            detail=said(f"{stage}: {what}"),
            host_failed=stage is not Stage.QUEUE,
        )

    async def close(self) -> None:
        await self._pool.close()


def CHANNEL(settings: Settings) -> Email | None:  # noqa: N802  # as the others' class
    """None where no mail server is set up."""
    return Email(settings) if settings.smtp_url is not None else None
