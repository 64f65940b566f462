"""Addresses of users: where they may lead, what they lead to, and what a server can do to who asks it."""

import asyncio
import gzip
import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from planner_common.settings import Settings
from planner_worker import outbound as module
from planner_worker.connecting import RefusedError, Resolve, UnreachableError
from planner_worker.outbound import Answer, Outbound, UnansweredError

from tests.hooks import HookSink, Rule
from tests.system import until
from worker.tests.channels.talks import (
    INSIDE,
    INSIDE_ADDRESSES,
    Connects,
    answering,
    closing,
    names,
    open_settings,
    talking,
)


def opened(
    settings: Settings, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[Outbound]:
    return closing(Outbound(settings, resolve=resolve, tls=tls))


async def get(outbound: Outbound, url: str, *, seconds: float = 10, limit: int = 1_000) -> Answer:
    return await outbound.request("GET", url, headers={}, content=b"", seconds=seconds, limit=limit)


@pytest.mark.parametrize("url", INSIDE)
async def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    async with opened(Settings(webhook_http=True)) as outbound:
        with Connects.watched() as connects, pytest.raises(RefusedError):
            await get(outbound, url)
    assert connects == []


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
async def test_a_name_that_leads_inside_is_refused_when_the_connection_is_made(address: str) -> None:
    async with opened(Settings(), names(hooks_example_org=address)) as outbound:
        with Connects.watched() as connects, pytest.raises(RefusedError) as raised:
            await get(outbound, "https://hooks.example.org/")
    assert connects == []
    assert str(raised.value) == f"hooks.example.org resolves to {address}, which is not a public address."


@pytest.mark.parametrize("host", ["0x7f.1", "0177.0.0.1", "2130706433", "127.1", "127.0.0.1.."])
async def test_an_address_is_written_in_one_way(host: str) -> None:
    """Other spellings serve only those who want it not to be recognised, here and wherever else somebody looks."""
    async with opened(open_settings(80)) as outbound:
        with Connects.watched() as connects, pytest.raises(RefusedError):
            await get(outbound, f"http://{host}/")
    assert connects == []


@pytest.mark.parametrize("url", ["https://localhost.example.org/", "https://127.0.0.1.example.org/"])
async def test_a_name_is_not_judged_by_how_it_looks(url: str) -> None:
    """Whatever the name: the system's resolver is asked, and what it says is looked at."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with opened(Settings(), resolve) as outbound:
        with pytest.raises(RefusedError, match="resolves to 127"):
            await get(outbound, url)
    assert len(asked) == 1


@pytest.mark.parametrize("host", ["localhost", "ip6-localhost"])
async def test_the_systems_resolver_is_asked(host: str) -> None:
    """One network is allowed, so that single words are looked up; it is not the one that these lead to."""
    async with opened(Settings(outbound_networks="192.168.1.0/24")) as outbound:
        with Connects.watched() as connects, pytest.raises((RefusedError, UnreachableError)) as raised:
            await get(outbound, f"https://{host}/")
    assert connects == []
    if host == "localhost":
        assert "which is not a public address" in str(raised.value)


async def test_the_connection_goes_to_the_address_that_was_checked(tmp_path: Path) -> None:
    """A name that changes its address between check and connect gains nothing: it is asked once."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    with HookSink(tmp_path) as sink:
        settings = Settings(outbound_ports=str(sink.port), outbound_networks="127.0.0.0/8", webhook_http=True)
        async with opened(settings, rebinding) as outbound:
            url = f"http://hooks.example.org:{sink.port}/"
            with Connects.watched() as connects:
                answer = await get(outbound, url)
                assert answer.status == 200
                with pytest.raises(RefusedError, match=r"resolves to 10\.0\.0\.1"):
                    await get(outbound, url)  # the next try asks again, and sees the other address
            assert connects == [("127.0.0.1", sink.port)]
            [hook] = sink.hooks()
            assert hook.headers is not None
            assert hook.headers["host"] == f"hooks.example.org:{sink.port}"


async def test_a_name_that_turns_inside_gets_no_connection(tmp_path: Path) -> None:
    """It looked public when the channel was set up; at connect time it means a server of this machine."""
    with HookSink(tmp_path) as sink:
        settings = Settings(outbound_ports=str(sink.port), webhook_http=True)
        async with opened(settings, names(hooks_example_org="127.0.0.1")) as outbound:
            with pytest.raises(RefusedError):
                await get(outbound, f"http://hooks.example.org:{sink.port}/")
        assert sink.connections() == 0


async def test_of_several_addresses_the_allowed_ones_are_used(tmp_path: Path) -> None:
    with HookSink(tmp_path) as sink:
        resolve = names(hooks_example_org=["10.0.0.1", "127.0.0.2", "169.254.169.254", "127.0.0.1"])
        async with opened(open_settings(sink.port), resolve) as outbound:
            with Connects.watched() as connects:
                answer = await get(outbound, f"http://hooks.example.org:{sink.port}/")
        assert answer.status == 200
        assert connects == [("127.0.0.2", sink.port), ("127.0.0.1", sink.port)]  # the sink listens on the second


@pytest.mark.parametrize("inside", ["http://127.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "/elsewhere"])
async def test_a_redirect_is_not_followed(tmp_path: Path, inside: str) -> None:
    with HookSink(tmp_path) as sink:
        sink.behave(Rule("END", f"302\nLocation: {inside}"))
        async with opened(open_settings(sink.port)) as outbound:
            with Connects.watched() as connects:
                answer = await get(outbound, sink.url)
        assert answer.status == 302
        assert connects == [("127.0.0.1", sink.port)]
        assert sink.connections() == 1


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://example.org/", "http:// is not allowed"),
        ("ftp://example.org/", "ftp:// is not allowed"),
        ("https://example.org:22/", "Port 22"),
        ("https://user:password@example.org/", "user name"),
        ("https://example.org:x/", "port"),
        ("https:///", "not the name"),
        ("//example.org/", "no scheme"),
    ],
)
async def test_schemes_and_ports_are_limited(url: str, complaint: str) -> None:
    async with opened(Settings(), names(example_org="8.8.8.8")) as outbound:
        with Connects.watched() as connects, pytest.raises(RefusedError, match=complaint):
            await get(outbound, url)
    assert connects == []


async def test_a_header_cannot_end_a_line() -> None:
    async with talking(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as port, opened(open_settings(port)) as outbound:
        with pytest.raises(RefusedError, match="cannot be written"):
            await outbound.request(
                "GET",
                f"http://127.0.0.1:{port}/",
                headers={"X-Of-The-User": "a\r\nHost: inside"},
                content=b"",
                seconds=10,
                limit=10,
            )


async def test_how_a_message_travels_is_not_the_callers_to_choose(tmp_path: Path) -> None:
    with HookSink(tmp_path) as sink:
        async with opened(open_settings(sink.port)) as outbound:
            headers = {"Host": "inside", "Transfer-Encoding": "chunked", "Content-Length": "1", "X-Own": "kept"}
            answer = await outbound.request("POST", sink.url, headers=headers, content=b"{}", seconds=10, limit=10)
        assert answer.status == 200
        [hook] = sink.hooks()
        assert hook.content == b"{}"
        assert hook.headers is not None
        assert hook.headers["host"] == f"127.0.0.1:{sink.port}"
        assert hook.headers["x-own"] == "kept"
        assert hook.headers["accept-encoding"] == "identity"
        assert "transfer-encoding" not in hook.headers


async def test_a_proxy_of_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    with HookSink(tmp_path) as sink:
        async with opened(open_settings(sink.port)) as outbound:
            assert (await get(outbound, sink.url)).status == 200


async def test_what_is_read_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit is not waited for."""
    monkeypatch.setattr(module, "BODY_SECONDS", 1_000)

    async def much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_001)
        await writer.drain()
        await asyncio.Event().wait()

    async with talking(much) as port, opened(open_settings(port)) as outbound, asyncio.timeout(30):
        answer = await get(outbound, f"http://127.0.0.1:{port}/", limit=70_000, seconds=1_000)
    assert answer.status == 200
    assert answer.body == b"x" * 70_000


async def test_a_head_has_an_end() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Header: " + b"x" * 65_536 + b"\r\n")
            await writer.drain()

    async with talking(flood) as port, opened(open_settings(port)) as outbound:
        with pytest.raises(UnansweredError):
            await get(outbound, f"http://127.0.0.1:{port}/", seconds=60)


async def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with talking(answering(head + bomb)) as port, opened(open_settings(port)) as outbound:
        answer = await get(outbound, f"http://127.0.0.1:{port}/", limit=100_000)
    assert answer.body == bomb


async def test_a_server_that_drips_its_head_costs_no_more_than_the_time_given() -> None:
    """Each byte comes well within any timeout of a single read; only the whole is bounded."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with talking(drip) as port, opened(open_settings(port)) as outbound:
        with pytest.raises(UnansweredError, match=r"did not answer within 0\.5 s"):
            await get(outbound, f"http://127.0.0.1:{port}/", seconds=0.5)


async def test_a_server_that_drips_its_body_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status counts; of the body there is what came in time."""
    monkeypatch.setattr(module, "BODY_SECONDS", 0.5)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 202 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with talking(drip) as port, opened(open_settings(port)) as outbound:
        answer = await get(outbound, f"http://127.0.0.1:{port}/", seconds=60)
    assert answer.status == 202
    assert set(answer.body) == {ord("x")}


async def test_a_body_that_breaks_off_is_an_answer() -> None:
    talk = answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nback so")
    async with talking(talk) as port, opened(open_settings(port)) as outbound:
        answer = await get(outbound, f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.body) == (503, b"back so")


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 ", b"220 smtp.example.org ESMTP\r\n\r\n", b"\x00\x01\x02\r\n\r\n"])
async def test_no_status_is_no_answer(raw: bytes) -> None:
    async with talking(answering(raw)) as port, opened(open_settings(port)) as outbound:
        with pytest.raises(UnansweredError):
            await get(outbound, f"http://127.0.0.1:{port}/")


async def test_nobody_there_is_not_the_same_as_no_answer(tmp_path: Path) -> None:
    sink = HookSink(tmp_path)
    async with opened(open_settings(sink.port)) as outbound:
        with pytest.raises(UnreachableError, match="refused"):
            await get(outbound, sink.url)


async def test_a_name_that_does_not_resolve_is_nobody_there() -> None:
    async with opened(Settings(), names()) as outbound:
        with pytest.raises(UnreachableError, match=r"hooks\.example\.org does not resolve"):
            await get(outbound, "https://hooks.example.org/")


async def test_a_name_without_an_address_is_nobody_there() -> None:
    async with opened(Settings(), names(hooks_example_org=[])) as outbound:
        with pytest.raises(UnreachableError, match="has no address"):
            await get(outbound, "https://hooks.example.org/")


async def test_a_resolver_that_hangs_is_nobody_there() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with opened(Settings(), resolve) as outbound:
        with pytest.raises(UnreachableError, match=r"within 0\.2 s"):
            await get(outbound, "https://hooks.example.org/", seconds=0.2)


async def test_a_certificate_is_checked_by_the_name(tmp_path: Path) -> None:
    """The connection goes to an address, but server name and certificate are the name's."""
    with HookSink(tmp_path, tls=True) as sink:
        settings = open_settings(sink.port)
        both = names(localhost="127.0.0.1", hooks_example_org="127.0.0.1")
        url = f"https://localhost:{sink.port}/"
        trusting = ssl.create_default_context(cafile=sink.ca)
        async with opened(settings, both, trusting) as outbound:
            assert (await get(outbound, url)).status == 200
            with pytest.raises(UnreachableError, match="certificate"):
                await get(outbound, f"https://hooks.example.org:{sink.port}/")
        async with opened(settings, both) as outbound:  # which trusts the usual authorities
            with pytest.raises(UnreachableError, match="certificate"):
                await get(outbound, url)
        assert len(sink.hooks()) == 1


async def test_many_are_asked_at_once(tmp_path: Path) -> None:
    """A hundred at a time, each on a connection of its own: none waits for one that hangs."""
    with HookSink(tmp_path) as sink:
        sink.behave(Rule("END", "hang", times=1))
        async with opened(open_settings(sink.port)) as outbound:
            hanging = asyncio.create_task(get(outbound, sink.url, seconds=60))
            await asyncio.to_thread(until, sink.hooks, "the one that hangs")
            answers = await asyncio.gather(*(get(outbound, sink.url, seconds=60) for _ in range(100)))
            assert {answer.status for answer in answers} == {200}
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
        assert sink.connections() == 101
