"""How fast the channel sends, beside aiosmtplib sending one ready mail again and again to the same sink."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiosmtplib import SMTP
from planner_common.deliveries import Outcome
from planner_common.settings import Settings
from planner_worker.channels import Message
from planner_worker.channels.email import Email
from planner_worker.mail.letters import Letters

from tests.smtp import Sink
from worker.tests.channels.messages import item, message

CONNECTIONS, ROUNDS, MAILS = 8, 10, 1_000
AT_LEAST = 0.7


async def spent(what: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await what()
    return time.perf_counter() - begun


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step by step"])
async def test_ten_thousand_mails(tmp_path: Path, pipelining: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The two take turns, so that whatever else the machine does is shared by both."""
    told = item(title="All hands", location="The big hall", description="Bring your questions.\n" * 20)
    with Sink(tmp_path, raw=False, pipelining=pipelining) as sink:
        settings = Settings(
            smtp_url=sink.url,
            encryption_keys="a key for tests, long enough to be one",
            email_connections=CONNECTIONS,
        )
        channel = Email(settings)
        ready = Letters(settings).envelope(message(told))
        clients = [SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(client.connect() for client in clients))

        async def bare() -> None:
            async def run(client: SMTP) -> None:
                for _ in range(MAILS // CONNECTIONS):
                    await client.sendmail(ready.sender, [ready.recipient], ready.content)

            await asyncio.gather(*map(run, clients))

        async def ours(messages: list[Message]) -> None:
            left = iter(messages)

            async def run() -> None:
                for one in left:
                    assert (await channel.send(one)).outcome is Outcome.ACCEPTED

            await asyncio.gather(*(run() for _ in range(4 * CONNECTIONS)))

        seconds = {"aiosmtplib": 0.0, "channel": 0.0}
        ids = []
        for turn in range(ROUNDS):
            messages = [
                message(replace(told, notification_id=uuid4()), to=f"reader-{turn}-{number}@example.org")
                for number in range(MAILS)
            ]
            ids += [f"<{one.id}@localhost>" for one in messages]
            seconds["aiosmtplib"] += await spent(bare)
            seconds["channel"] += await spent(lambda messages=messages: ours(messages))  # type: ignore[misc]
        await asyncio.gather(*(client.quit() for client in clients))
        await channel.close()
        arrived = [mail.id for mail in sink.mails() if mail.recipients != [ready.recipient]]
    rates = {name: ROUNDS * MAILS / taken for name, taken in seconds.items()}
    with capsys.disabled():
        print("".join(f"\n{name}: {rate:,.0f} mails/s" for name, rate in rates.items()))  # noqa: T201
        print(f"ratio: {rates['channel'] / rates['aiosmtplib']:.2f}")  # noqa: T201
    assert sorted(arrived) == sorted(ids)
    assert rates["channel"] >= AT_LEAST * rates["aiosmtplib"]
