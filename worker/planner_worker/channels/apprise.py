"""Everything else: services that Apprise speaks to, by a URL of the user's.

Apprise's plugins are synchronous, so each message has a thread; what they may do there is `plugins`' matter. What a URL
says about how to send (timeouts, redirects, certificates) does not get that far. Its retries are Apprise's and not the
plugin's, so there are none: retries are rows of ours.

A plugin says only whether it worked. What became of a message is therefore read from the answers it got: the last one
counts, as a person would read it. A service that says no (4xx, a redirect) will say no again; one that is overloaded or
away is tried later. Where an earlier request of the same message was taken, as with a URL that names several people,
nobody knows who got it: `unknown`.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from urllib.parse import urlsplit

from planner_common.addresses import SERVICE
from planner_common.deliveries import ChannelType, Outcome
from planner_common.services import HOSTED, SERVICES
from planner_common.settings import Settings

from planner_worker.channels import Limits, Message, Result
from planner_worker.channels.answers import (
    LATER,
    REDIRECTS,
    SERVER_ERRORS,
    SUCCESSES,
    legible,
    retry_after,
    secrets_of,
)
from planner_worker.channels.calls import GRACE_SECONDS, Call, Exchange
from planner_worker.channels.plain import Text, text_of
from planner_worker.connecting import RefusedError, UnreachableError
from planner_worker.outbound import Answer, Outbound, UnansweredError

SECONDS = 30.0
"""For a message as a whole: some services take several requests."""
AT_ONCE = 16
"""Messages that a process sends at a time."""


class Apprise:
    type = ChannelType.APPRISE

    def __init__(self, settings: Settings, outbound: Outbound | None = None) -> None:
        self.limits = Limits(settings.apprise_tries, settings.apprise_hours, settings.apprise_per_second)
        self._outbound = outbound or Outbound(settings)
        # Twice as many threads as messages: one that is out of time gives its place to another, but may still sleep.
        self._threads = ThreadPoolExecutor(2 * AT_ONCE, thread_name_prefix="apprise")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._url = settings.public_url

    def host(self, message: Message) -> str:
        return host(message.address["url"])

    async def send(self, message: Message) -> Result:
        url = message.address["url"]
        if _service(url) not in SERVICES:
            return Result(outcome=Outcome.REFUSED, detail=f"Planner does not send by {_service(url)}://.")
        loop = asyncio.get_running_loop()
        async with self._places:
            call = Call(self._outbound, loop, SECONDS)
            sending = loop.run_in_executor(self._threads, copy_context().run, self._notify, call, url, text_of(message))
            await asyncio.wait({sending}, timeout=SECONDS + GRACE_SECONDS)
        secrets = secrets_of(url, host=_service(url) in HOSTED)
        return result(call, sending.result(), secrets) if sending.done() else unfinished(call, secrets)

    def _notify(self, call: Call, url: str, text: Text) -> bool:
        """In a thread: whether the plugin says that it worked."""
        from planner_worker.channels import plugins  # noqa: PLC0415  # 8 MB, with the first message that needs them

        plugins.plugins()  # loaded before the message's time begins
        call.begin()
        try:
            return plugins.notify(url, _service(url), text, self._url)
        except Exception as error:  # noqa: BLE001  # of a hundred plugins that read what users wrote
            if str(error) not in call.lines:
                call.lines.append(f"{type(error).__name__}: {error}")
            return False

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._outbound.close()


CHANNEL = Apprise


def _service(url: str) -> str:
    match = SERVICE.fullmatch(url)
    return match[1].lower() if match else ""


def host(url: str) -> str:
    """The host that a URL names, or the service: what stands in a host's place may be a token."""
    service = _service(url)
    if service in HOSTED:
        try:
            named = urlsplit(url).hostname or ""
        except ValueError:
            named = ""
        if "." in named or ":" in named:
            return named
    return service


def unfinished(call: Call, secrets: set[str]) -> Result:
    """What became of a message whose plugin has not come back in time."""
    unknown = any(exchange.taken or exchange.open for exchange in call.exchanges)
    detail = legible("\n".join([f"The service needs more than {SECONDS:g} s.", *call.lines]), secrets)
    return Result(outcome=Outcome.UNKNOWN if unknown else Outcome.LATER, detail=detail)


def result(call: Call, sent: bool, secrets: set[str]) -> Result:
    """What became of a message, by what its plugin heard."""
    last = call.exchanges[-1] if call.exchanges else None
    detail = legible("\n".join([*_said(last), *call.lines]), secrets)
    status = last.answer.status if last and last.answer else None
    if sent:
        return Result(outcome=Outcome.ACCEPTED, status=status, detail=detail)
    if last is None:
        return Result(outcome=Outcome.REFUSED, detail=detail or "Apprise cannot use this URL.")
    found = _failed(last.failure) if last.answer is None else _answered(last.answer)
    unknown = found.outcome is Outcome.LATER and any(exchange.taken for exchange in call.exchanges[:-1])
    return Result(
        outcome=Outcome.UNKNOWN if unknown else found.outcome,
        status=status,
        detail=detail,
        retry_after=found.retry_after,
        host_failed=found.host_failed,
    )


def _said(exchange: Exchange | None) -> list[str]:
    if exchange is None:
        return []
    if exchange.answer is None:
        return [str(exchange.failure)]
    redirected = ["A redirect is not followed."] if exchange.answer.status in REDIRECTS else []
    return [*redirected, exchange.answer.line, exchange.answer.body[:4_000].decode("utf-8", "replace")]


def _failed(failure: Exception | None) -> Result:
    if isinstance(failure, RefusedError):
        return Result(outcome=Outcome.REFUSED)
    if isinstance(failure, UnansweredError):
        return Result(outcome=Outcome.UNKNOWN, host_failed=True)
    return Result(outcome=Outcome.LATER, host_failed=isinstance(failure, UnreachableError))


def _answered(answer: Answer) -> Result:
    later = answer.status in LATER or answer.status in SERVER_ERRORS or answer.status in SUCCESSES
    return Result(
        outcome=Outcome.LATER if later else Outcome.REFUSED,
        retry_after=retry_after(answer.header("retry-after")),
        host_failed=answer.status in SERVER_ERRORS,
    )
