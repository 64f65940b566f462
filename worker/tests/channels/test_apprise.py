"""Apprise against a real receiver, by the plugins that post JSON to a URL and by some that are people's."""

import asyncio
import gzip
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apprise
import pytest
import requests
from planner_common.deliveries import Outcome, Purpose
from planner_common.settings import Settings
from planner_common.summaries import Reader
from planner_worker.channels import apprise as module
from planner_worker.channels.apprise import Apprise, host
from planner_worker.channels.calls import CALL, Call
from planner_worker.channels.plugins import Requests, plugins
from planner_worker.connecting import Resolve
from planner_worker.outbound import Outbound

from tests.hooks import HookSink, Rule
from worker.tests.channels.talks import (
    INSIDE,
    INSIDE_ADDRESSES,
    Connects,
    answering,
    closing,
    item,
    message,
    names,
    open_settings,
    talking,
)


def opened(
    settings: Settings, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[Apprise]:
    return closing(Apprise(settings, Outbound(settings, resolve=resolve, tls=tls)))


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[HookSink]:
    with HookSink(tmp_path) as sink:
        yield sink


def at(sink: HookSink, rest: str = "", scheme: str = "json") -> dict[str, Any]:
    return {"url": f"{scheme}://127.0.0.1:{sink.port}/{rest}"}


async def test_a_notification_arrives_in_the_readers_words(sink: HookSink) -> None:
    async with opened(open_settings(sink.port)) as channel:
        told = message(at(sink, "in"), item(url="https://example.org/<call>"), reader=Reader("ru", "Europe/Moscow"))
        result = await channel.send(told)
    assert (result.outcome, result.status) == (Outcome.ACCEPTED, 200)
    [hook] = sink.hooks()
    assert (hook.method, hook.path) == ("POST", "/in")
    sent = json.loads(hook.content)
    assert sent["title"] == "Standup"
    assert sent["message"].split("\n") == [
        "Ann приглашает вас на «Standup»: среда, 25 ноября 2026\u202fг., 11:00.",  # noqa: RUF001  # Russian
        "Место: Room 1",
        "Ссылка: https://example.org/<call>",
    ]
    assert hook.headers is not None
    assert hook.headers["user-agent"] == "Planner"


async def test_a_digest_a_code_and_a_test_arrive(sink: HookSink) -> None:
    async with opened(open_settings(sink.port)) as channel:
        await channel.send(message(at(sink), item(title="First"), item(title="Second", kind="cancellation")))
        await channel.send(message(at(sink), purpose=Purpose.CODE, items=(), code="123456"))
        await channel.send(message(at(sink), purpose=Purpose.TEST, items=(), reader=Reader("ru", "UTC")))
    digest, code, test = (json.loads(hook.content) for hook in sink.hooks())
    assert digest["title"] == "Planner: 2 notifications"
    assert [line[:15] for line in digest["message"].split("\n")] == ["- Ann invited y", "- “Second” was "]
    assert code["message"] == "The code that confirms this channel is 123456."
    assert test["message"] == "Канал работает: уведомления будут приходить сюда."


@pytest.mark.parametrize("url", INSIDE)
@pytest.mark.parametrize("scheme", ["json", "jsons"])
async def test_a_url_that_leads_inside_is_refused_and_nothing_sent(scheme: str, url: str) -> None:
    async with opened(Settings(webhook_http=True)) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message({"url": url.replace("http", scheme)}))
    assert result.outcome is Outcome.REFUSED
    assert result.detail
    assert connects == []


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
@pytest.mark.parametrize("scheme", ["json", "jsons", "gotify", "matrixs"])
async def test_a_name_that_leads_inside_is_refused_and_nothing_sent(sink: HookSink, scheme: str, address: str) -> None:
    settings = Settings(outbound_ports=str(sink.port), webhook_http=True)
    async with opened(settings, names(hooks_example_org=address)) as channel:
        with Connects.watched() as connects:
            url = f"{scheme}://ann:p4ssword@hooks.example.org:{sink.port}/A1234567890abcdef"
            result = await channel.send(message({"url": url}))
    assert result.outcome is Outcome.REFUSED
    assert result.detail is not None
    assert f"hooks.example.org resolves to {address}, which is not a public address." in result.detail
    assert connects == []
    assert sink.connections() == 0


@pytest.mark.parametrize("inside", ["http://127.0.0.1:{port}/", "http://169.254.169.254/", "http://[::1]/"])
@pytest.mark.parametrize("asked", ["", "?redirect=yes"])
async def test_a_redirect_is_refused_and_says_so(sink: HookSink, inside: str, asked: str) -> None:
    sink.behave(Rule("END", f"302\nLocation: {inside.format(port=sink.port)}"))
    async with opened(open_settings(sink.port)) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message(at(sink, asked)))
    assert (result.outcome, result.status) == (Outcome.REFUSED, 302)
    assert result.detail is not None
    assert result.detail.startswith("A redirect is not followed.\nHTTP 302 Told")
    assert connects == [("127.0.0.1", sink.port)]


async def test_a_name_that_changes_its_address_gains_nothing(sink: HookSink) -> None:
    answers = ["127.0.0.2", "127.0.0.1"]

    async def rebinding(_host: str, _port: int) -> list[str]:
        return [answers.pop(0)]

    settings = Settings(outbound_ports=str(sink.port), outbound_networks="127.0.0.2/32", webhook_http=True)
    told = message({"url": f"json://hooks.example.org:{sink.port}/"})
    async with opened(settings, rebinding) as channel:
        with Connects.watched() as connects:
            first = await channel.send(told)
            second = await channel.send(told)
    assert connects == [("127.0.0.2", sink.port)]  # where nobody listens
    assert (first.outcome, first.host_failed) == (Outcome.LATER, True)
    assert second.outcome is Outcome.REFUSED
    assert sink.connections() == 0


@pytest.mark.parametrize(
    "url",
    [
        "mailto://ann:password@example.org",
        "mqtt://127.0.0.1/topic",
        "syslog://",
        "dbus://",
        "windows://",
        "rsyslog://127.0.0.1",
        "irc://127.0.0.1/channel",
        "http://127.0.0.1/configuration",
        "file:///etc/passwd",
        "nonsense://x",
        "no URL",
    ],
)
async def test_services_that_open_connections_of_their_own_are_refused(url: str) -> None:
    async with opened(Settings()) as channel:
        with Connects.watched() as connects:
            result = await channel.send(message({"url": url}))
    assert result.outcome is Outcome.REFUSED
    assert result.detail is not None
    assert result.detail.startswith("Planner does not send by ")
    assert connects == []


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template={file}",
        "discord://123456789012345678/abcdefghijklmnopqrstuvwxyz?template={file}",
        "workflows://example.org:443/643a8c2a/signature/?template={file}",
        "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI/42?template={file}",
        "fcm://project/target?keyfile={file}",
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
async def test_no_file_of_this_machine_is_read(tmp_path: Path, url: str, scheme: str) -> None:
    """Templates and keys are attachments to these, and would be sent to whoever named them."""
    file = tmp_path / "secret.json"
    file.write_text('{"text": "of this machine"}')
    async with opened(Settings(), names()) as channel:
        with Connects.watched("open") as opens:
            result = await channel.send(message({"url": url.format(file=quote(f"{scheme}{file}", safe=""))}))
    assert result.outcome is Outcome.REFUSED
    assert not [path for path in opens if str(file) in str(path)]


@pytest.mark.parametrize(
    ("answer", "outcome", "host_failed"),
    [
        ("200", Outcome.ACCEPTED, False),
        ("400", Outcome.REFUSED, False),
        ("401", Outcome.REFUSED, False),
        ("404", Outcome.REFUSED, False),
        ("429\nRetry-After: 30", Outcome.LATER, False),
        ("500", Outcome.LATER, True),
        ("503\nRetry-After: 30", Outcome.LATER, True),
        ("cut", Outcome.UNKNOWN, True),
    ],
)
async def test_what_an_answer_means(sink: HookSink, answer: str, outcome: Outcome, host_failed: bool) -> None:
    sink.behave(Rule("END", answer))
    async with opened(open_settings(sink.port)) as channel:
        result = await channel.send(message(at(sink)))
    assert (result.outcome, result.host_failed) == (outcome, host_failed)
    assert result.status == (int(answer[:3]) if answer != "cut" else None)
    assert result.retry_after == (30 if "Retry" in answer else None)
    assert len(sink.hooks()) == 1


async def test_nobody_there_is_tried_later(tmp_path: Path) -> None:
    sink = HookSink(tmp_path)
    async with opened(open_settings(sink.port)) as channel:
        result = await channel.send(message(at(sink)))
    assert (result.outcome, result.host_failed) == (Outcome.LATER, True)
    assert result.detail is not None
    assert "Connection refused" in result.detail


@pytest.mark.parametrize("rule", [Rule("END", "hang"), Rule("TAKEN", "drip")])
async def test_times_are_ours_whatever_a_url_says(sink: HookSink, rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.5)
    sink.behave(rule)
    async with opened(open_settings(sink.port)) as channel:
        result = await channel.send(message(at(sink, "?cto=3600&rto=3600&retry=10&wait=0&optional=yes")))
    assert (result.outcome, result.host_failed) == (Outcome.UNKNOWN, True)
    assert sink.connections() == 1


async def test_a_plugin_that_sleeps_holds_up_nobody(sink: HookSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is given up in time, and when it wakes it can send no more."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    asleep, wake = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    awake: asyncio.Future[bool] = loop.create_future()

    class Sleepy(Apprise):
        def _notify(self, *args: Any) -> bool:
            call = args[0]
            call.begin()
            asleep.set()
            assert wake.wait(20)
            try:
                Requests().post(f"http://127.0.0.1:{sink.port}/")
            except requests.RequestException:
                loop.call_soon_threadsafe(awake.set_result, True)
            return False

    channel = Sleepy(open_settings(sink.port))
    result = await channel.send(message(at(sink)))
    assert result.outcome is Outcome.LATER
    assert not result.host_failed
    assert asleep.is_set()
    wake.set()
    assert await awake
    await channel.close()
    assert sink.connections() == 0


async def test_of_several_people_some_may_have_got_it(sink: HookSink) -> None:
    """A second room that answers 503: trying again would tell the first one twice, so it is not called a failure."""
    sink.behave(Rule("END", "200", times=1), Rule("END", "503"))
    async with opened(open_settings(sink.port)) as channel:
        url = f"signal://127.0.0.1:{sink.port}/+15551234567/+15551234568/+15551234569?batch=no"
        result = await channel.send(message({"url": url}))
    assert [hook.status for hook in sink.hooks()] == [200, 503]
    assert (result.outcome, result.status, result.host_failed) == (Outcome.UNKNOWN, 503, True)


async def test_certificates_are_checked_whatever_a_url_says(tmp_path: Path) -> None:
    with HookSink(tmp_path, tls=True) as sink:
        settings = Settings(outbound_ports=str(sink.port), outbound_networks="127.0.0.0/8")
        told = message({"url": f"jsons://localhost:{sink.port}/?verify=no"})
        async with opened(settings, tls=ssl.create_default_context(cafile=sink.ca)) as channel:
            assert (await channel.send(told)).outcome is Outcome.ACCEPTED
            plain = await channel.send(message({"url": f"json://localhost:{sink.port}/"}))
        async with opened(settings) as channel:
            result = await channel.send(told)
        assert len(sink.hooks()) == 1
    assert plain.outcome is Outcome.REFUSED
    assert result.outcome is Outcome.LATER
    assert result.detail is not None
    assert "certificate" in result.detail


async def test_a_header_of_a_url_does_not_change_the_host(sink: HookSink) -> None:
    async with opened(open_settings(sink.port)) as channel:
        await channel.send(message(at(sink, "?+Host=inside&+X-Own=kept")))
    [hook] = sink.hooks()
    assert hook.headers is not None
    assert hook.headers["host"] == f"127.0.0.1:{sink.port}"
    assert hook.headers["x-own"] == "kept"


async def test_what_was_said_is_kept_without_secrets_and_not_logged(sink: HookSink) -> None:
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = logged.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    sink.behave(Rule("END", "403\n\nno p4ss here, sesame-open"))
    async with opened(open_settings(sink.port)) as channel:
        url = f"json://ann:p4ss@127.0.0.1:{sink.port}/sesame-open"
        result = await channel.send(message({"url": url}))
    logging.getLogger().removeHandler(handler)
    assert result.detail is not None
    assert result.detail.startswith("HTTP 403 Told\nno *** here, ***\nFailed to send JSON POST notification")
    assert [record for record in logged if record.name == "apprise"] == []


async def test_a_url_that_its_service_cannot_use_is_refused() -> None:
    async with opened(Settings()) as channel:
        result = await channel.send(message({"url": "tgram://nonsense"}))
    assert result.outcome is Outcome.REFUSED
    assert result.detail


async def test_requests_exist_for_plugins_only_within_a_call() -> None:
    plugins()
    plugin = apprise.Apprise.instantiate("json://127.0.0.1:9/")
    assert isinstance(plugin, apprise.NotifyBase)
    assert CALL.get(None) is None
    with Connects.watched() as connects, pytest.raises(LookupError):
        plugin.notify(body="hello")
    assert connects == []


async def test_a_proxy_of_the_environment_is_not_asked(sink: HookSink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    async with opened(open_settings(sink.port)) as channel:
        assert (await channel.send(message(at(sink)))).outcome is Outcome.ACCEPTED


async def test_passwords_of_this_machine_are_not_sent(
    sink: HookSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests would look for one in ~/.netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login planner password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with opened(open_settings(sink.port)) as channel:
        await channel.send(message(at(sink)))
    [hook] = sink.hooks()
    assert hook.headers is not None
    assert "authorization" not in hook.headers


async def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    loop = asyncio.get_running_loop()
    async with talking(answering(head + bomb)) as port:
        outbound = Outbound(open_settings(port))

        def ask() -> bytes:
            Call(outbound, loop, 20).begin()
            return Requests().get(f"http://127.0.0.1:{port}/").content

        assert await asyncio.to_thread(ask) == bomb
        await outbound.close()


async def test_many_are_sent_at_once(sink: HookSink) -> None:
    """More than there are threads, all to a receiver that takes its time."""
    sink.behave(Rule("END", "wait 0.05"))
    async with opened(open_settings(sink.port)) as channel:
        results = await asyncio.gather(*(channel.send(message(at(sink))) for _ in range(50)))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len(sink.hooks()) == 50


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("json://Hooks.example.org:8443/x", "hooks.example.org"),
        ("gotifys://ann@gotify.example.org/token", "gotify.example.org"),
        ("ntfys://topic-that-is-secret", "ntfys"),
        ("ntfys://ntfy.example.org/topic", "ntfy.example.org"),
        ("tgram://123456789:AAAA.BBBB/42", "tgram"),
        ("json://[::1]/x", "::1"),
        ("json://[/", "json"),
        ("SLACK://a/b/c", "slack"),
    ],
)
def test_host_is_what_has_a_pace_and_a_breaker(url: str, expected: str) -> None:
    assert host(url) == expected
