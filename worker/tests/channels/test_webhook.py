"""Webhooks against a real receiver: what it gets, and what becomes of its answers."""

import base64
import ssl
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from planner_common.deliveries import Outcome, Purpose
from planner_common.settings import Settings
from planner_common.summaries import Reader
from planner_worker.channels import ANSWER_LIMIT
from planner_worker.channels import webhook as module
from planner_worker.channels.answers import legible, retry_after, secrets_of
from planner_worker.channels.webhook import Webhook
from planner_worker.connecting import Resolve
from planner_worker.outbound import Outbound
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tests.hooks import Hook, HookSink, Rule
from worker.tests.channels.talks import INSIDE, INSIDE_ADDRESSES, Connects, closing, item, message, names, open_settings

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four").decode()
OLDER = "whsec_" + base64.b64encode(b"the secret before it was").decode()


def webhook(
    settings: Settings, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[Webhook]:
    return closing(Webhook(settings, Outbound(settings, resolve=resolve, tls=tls)))


def to(url: str, *secrets: str) -> dict[str, Any]:
    return {"url": url, "secrets": list(secrets or [SECRET])}


def verified(hook: Hook, secret: str = SECRET) -> dict[str, Any]:
    """What the receiver's library makes of it. Raises WebhookVerificationError."""
    assert hook.headers is not None
    verifier: Any = Verifier(secret)
    opened: dict[str, Any] = verifier.verify(hook.content.decode(), hook.headers)
    return opened


@pytest.fixture
def sink(tmp_path: Path) -> Any:
    with HookSink(tmp_path) as sink:
        yield sink


async def test_a_notification_arrives_signed(sink: HookSink) -> None:
    moved = item(
        kind="reschedule",
        revision=3,
        diff={
            "start": [
                {"date_time": "2026-11-25T07:00", "time_zone": "Europe/Berlin"},
                {"date_time": "2026-11-25T09:00", "time_zone": "Europe/Berlin"},
            ]
        },
    )
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url), moved, reader=Reader("en", "Europe/Berlin")))
    assert (result.outcome, result.status, result.detail) == (Outcome.ACCEPTED, 200, "HTTP 200 Told")
    [hook] = sink.hooks()
    assert (hook.method, hook.id) == ("POST", "00000000-0000-0000-0000-000000000003")
    assert hook.headers is not None
    assert hook.headers["content-type"] == "application/json"
    sent = verified(hook)
    summary = sent["data"].pop("summary")
    assert summary.replace("\u202f", " ") == (
        "“Standup” now starts Wednesday, November 25, 2026, 9:00 AM (before: Wednesday, November 25, 2026, 7:00 AM)."
    )
    assert sent == {
        "type": "notification.reschedule",
        "timestamp": "2026-11-24T09:00:00Z",
        "data": {
            "id": "00000000-0000-0000-0000-000000000001",
            "kind": "reschedule",
            "revision": 3,
            "actor": {"name": "Ann"},
            "changes": moved.diff,
            "event": {
                "id": "00000000-0000-0000-0000-000000000002",
                "uid": "standup@example.org",
                "revision": 3,
                "title": "Standup",
                "description": None,
                "location": "Room 1",
                "url": None,
                "status": "confirmed",
                "all_day": False,
                "starts_at": "2026-11-25T08:00:00Z",
                "ends_at": "2026-11-25T09:00:00Z",
                "organizer": {"name": "Ann"},
            },
        },
    }


async def test_a_digest_has_its_items_in_order(sink: HookSink) -> None:
    items = [item(title="Первое"), item(title="Второе", kind="cancellation", actor=None)]
    async with webhook(open_settings(sink.port)) as channel:
        await channel.send(message(to(sink.url), *items, reader=Reader("ru", "Europe/Moscow")))
    sent = verified(sink.hooks()[0])
    assert sent["type"] == "digest"
    told = sent["data"]["items"]
    assert [one["type"] for one in told] == ["notification.invitation", "notification.cancellation"]
    assert [one["data"]["event"]["title"] for one in told] == ["Первое", "Второе"]
    assert told[0]["data"]["summary"].startswith("Ann приглашает вас на «Первое»: среда, 25 ноября 2026")
    assert told[1]["data"]["actor"] is None


async def test_a_code_and_a_test_say_what_they_are(sink: HookSink) -> None:
    async with webhook(open_settings(sink.port)) as channel:
        await channel.send(message(to(sink.url), purpose=Purpose.CODE, items=(), code="123456"))
        await channel.send(message(to(sink.url), purpose=Purpose.TEST, items=()))
    code, test = map(verified, sink.hooks())
    assert code["type"] == "channel.code"
    assert code["data"] == {
        "channel_id": "00000000-0000-0000-0000-000000000005",
        "summary": "The code that confirms this channel is 123456.",
        "code": "123456",
    }
    assert test["type"] == "channel.test"
    assert "code" not in test["data"]


async def test_every_secret_signs_so_that_receivers_can_change_theirs(sink: HookSink) -> None:
    async with webhook(open_settings(sink.port)) as channel:
        await channel.send(message(to(sink.url, SECRET, OLDER)))
    [hook] = sink.hooks()
    assert verified(hook, SECRET) == verified(hook, OLDER)
    assert hook.headers is not None
    assert len(hook.headers["webhook-signature"].split()) == 2
    with pytest.raises(WebhookVerificationError):
        verified(hook, "whsec_" + base64.b64encode(b"of somebody else altogether").decode())


async def test_the_id_is_the_same_at_every_try_and_the_time_is_that_of_the_try(
    sink: HookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

        @classmethod
        def now(cls, _zone: Any = None) -> datetime:  # type: ignore[override]
            return cls.at

    monkeypatch.setattr(module, "datetime", Clock)
    sink.behave(Rule("END", "503", times=1))
    async with webhook(open_settings(sink.port)) as channel:
        told = message(to(sink.url))
        assert (await channel.send(told)).outcome is Outcome.LATER
        Clock.at += timedelta(minutes=5)
        assert (await channel.send(told)).outcome is Outcome.ACCEPTED
    first, second = sink.hooks()
    assert first.headers is not None
    assert second.headers is not None
    assert first.id == second.id == str(told.id)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 300
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


@pytest.mark.parametrize(
    ("answer", "outcome", "host_failed", "gone"),
    [
        ("200", Outcome.ACCEPTED, False, False),
        ("204", Outcome.ACCEPTED, False, False),
        ("301\nLocation: http://127.0.0.1/", Outcome.REFUSED, False, False),
        ("304", Outcome.REFUSED, False, False),
        ("400", Outcome.LATER, False, False),
        ("401", Outcome.LATER, False, False),
        ("404", Outcome.LATER, False, False),
        ("408", Outcome.LATER, False, False),
        ("410", Outcome.REFUSED, False, True),
        ("425", Outcome.LATER, False, False),
        ("429", Outcome.LATER, False, False),
        ("500", Outcome.LATER, True, False),
        ("503", Outcome.LATER, True, False),
        ("cut", Outcome.UNKNOWN, True, False),
    ],
)
async def test_what_an_answer_means(
    sink: HookSink, answer: str, outcome: Outcome, host_failed: bool, gone: bool
) -> None:
    sink.behave(Rule("END", answer))
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url)))
    assert (result.outcome, result.host_failed, result.gone) == (outcome, host_failed, gone)
    assert result.status == (int(answer[:3]) if answer != "cut" else None)
    assert len(sink.hooks()) == 1


async def test_nobody_there_is_tried_later(tmp_path: Path) -> None:
    sink = HookSink(tmp_path)
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url)))
    assert (result.outcome, result.host_failed, result.status) == (Outcome.LATER, True, None)
    assert result.detail == f"Cannot connect to 127.0.0.1, port {sink.port}: Connection refused"


@pytest.mark.parametrize("rule", [Rule("END", "hang"), Rule("TAKEN", "hang"), Rule("TAKEN", "drip")])
async def test_what_was_sent_and_not_answered_is_unknown(
    sink: HookSink, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.5)
    sink.behave(rule)
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url)))
    assert (result.outcome, result.host_failed) == (Outcome.UNKNOWN, True)
    assert len(sink.hooks()) == 1


async def test_retry_after_is_heard_in_both_forms(sink: HookSink) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    sink.behave(Rule("END", "429\nRetry-After: 30", times=1), Rule("END", f"429\nRetry-After: {date}"))
    async with webhook(open_settings(sink.port)) as channel:
        seconds, by_date = [(await channel.send(message(to(sink.url)))).retry_after for _ in range(2)]
    assert seconds == 30
    assert by_date is not None
    assert 1800 < by_date <= 3600


@pytest.mark.parametrize("url", INSIDE)
async def test_a_url_that_leads_inside_is_refused_and_nothing_sent(url: str) -> None:
    async with webhook(Settings(webhook_http=True)) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message(to(url)))
    assert result.outcome is Outcome.REFUSED
    assert result.detail
    assert connects == []


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
async def test_a_name_that_leads_inside_is_refused_and_nothing_sent(sink: HookSink, address: str) -> None:
    settings = Settings(outbound_ports=str(sink.port), webhook_http=True)
    async with webhook(settings, names(hooks_example_org=address)) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message(to(f"http://hooks.example.org:{sink.port}/hooks/planner")))
    assert result.outcome is Outcome.REFUSED
    assert result.detail == f"hooks.example.org resolves to {address}, which is not a public address."
    assert connects == []
    assert sink.connections() == 0


@pytest.mark.parametrize("inside", ["http://127.0.0.1:{port}/", "http://169.254.169.254/", "http://[::1]/"])
async def test_a_redirect_is_refused_and_says_so(sink: HookSink, inside: str) -> None:
    sink.behave(Rule("END", f"307\nLocation: {inside.format(port=sink.port)}"))
    async with webhook(open_settings(sink.port)) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message(to(sink.url)))
    assert result.outcome is Outcome.REFUSED
    assert result.detail == "A redirect is not followed. HTTP 307 Told"
    assert connects == [("127.0.0.1", sink.port)]


async def test_a_name_that_changes_its_address_gains_nothing(sink: HookSink) -> None:
    """Allowed when it is checked, inside when it is connected to: there is one look-up, so it cannot be both."""
    answers = ["127.0.0.2", "127.0.0.1"]

    async def rebinding(_host: str, _port: int) -> list[str]:
        return [answers.pop(0)]

    settings = Settings(outbound_ports=str(sink.port), outbound_networks="127.0.0.2/32", webhook_http=True)
    told = message(to(f"http://hooks.example.org:{sink.port}/"))
    async with webhook(settings, rebinding) as channel:
        with Connects.watched() as connects:
            first = await channel.send(told)
            second = await channel.send(told)
    assert connects == [("127.0.0.2", sink.port)]  # where nobody listens
    assert first.outcome is Outcome.LATER
    assert (second.outcome, second.detail) == (
        Outcome.REFUSED,
        "hooks.example.org resolves to 127.0.0.1, which is not a public address.",
    )
    assert sink.connections() == 0


async def test_what_was_answered_is_kept_without_secrets(sink: HookSink) -> None:
    body = f"token s3cr3t-of-the-user\x1b[31m {SECRET} " + "ж" * 2000
    sink.behave(Rule("END", f"500\n\n{body}"))
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url + "in?token=s3cr3t-of-the-user")))
    assert result.detail is not None
    assert result.detail.startswith("HTTP 500 Told\ntoken *** [31m whsec_*** жж")
    assert len(result.detail) == ANSWER_LIMIT


async def test_a_damaged_secret_is_refused_and_nothing_sent(sink: HookSink) -> None:
    async with webhook(open_settings(sink.port)) as channel:
        result = await channel.send(message(to(sink.url, "whsec_ä")))
    assert result.outcome is Outcome.REFUSED
    assert sink.connections() == 0


async def test_https_is_what_webhooks_are_called_by(tmp_path: Path) -> None:
    with HookSink(tmp_path, tls=True) as sink:
        settings = Settings(outbound_ports=str(sink.port), outbound_networks="127.0.0.0/8")
        trusting = ssl.create_default_context(cafile=sink.ca)
        async with webhook(settings, tls=trusting) as channel:
            accepted = await channel.send(message(to(f"https://localhost:{sink.port}/")))
            plain = await channel.send(message(to(f"http://localhost:{sink.port}/")))
    assert accepted.outcome is Outcome.ACCEPTED
    assert (plain.outcome, plain.detail) == (Outcome.REFUSED, "http:// is not allowed here.")
    assert verified(sink.hooks()[0])["type"] == "notification.invitation"


async def test_host_is_that_of_the_url() -> None:
    async with webhook(Settings()) as channel:
        assert channel.host(message(to("https://Hooks.example.org:8443/x"))) == "hooks.example.org"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Tue, 24 Nov 2026 09:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 08:00:00 GMT", 0),
        ("Tue, 24 Nov 2026 09:01:00 -0000", 60),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_what_retry_after_means(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 11, 24, 9, 0, tzinfo=UTC)) == seconds


def test_the_parts_of_a_url_that_are_secrets_are_taken_out() -> None:
    url = "https://user:pass@hooks.example.org/services/T0123ABCD/b%2Fc-de-fgh/v1?key=k3y1&x=1"
    text = f"{url} user pass T0123ABCD b/c-de-fgh k3y1 hooks.example.org v1 1"
    assert legible(text, secrets_of(url, host=True)) == "*** *** *** *** *** *** hooks.example.org v1 1"
    token = "tgram://123456789:ABCDEFGHIJ/42"
    assert legible(f"{token} 123456789 ABCDEFGHIJ 42", secrets_of(token, host=False)) == "*** *** *** 42"
