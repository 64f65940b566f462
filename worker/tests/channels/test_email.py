"""The conversation with a real server: what each of its turns means, and that no mail is ever sent twice unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from planner_common.deliveries import Outcome
from planner_common.settings import Settings
from planner_worker.channels import ANSWER_LIMIT, email
from planner_worker.channels.email import Email
from planner_worker.mail import connections
from planner_worker.mail.server import Server

from tests.smtp import Mail, Rule, Sink
from worker.tests.channels.messages import item, message

ACCEPTED, LATER, REFUSED, UNKNOWN = Outcome.ACCEPTED, Outcome.LATER, Outcome.REFUSED, Outcome.UNKNOWN


def settings(url: str, **given: Any) -> Settings:
    return Settings(
        **{
            "smtp_url": url,
            "encryption_keys": "a key for tests, long enough to be one",
            "mail_from": "Planner <planner@example.com>",
            **given,
        }
    )


@asynccontextmanager
async def open_channel(url: str, **given: Any) -> AsyncIterator[Email]:
    channel = Email(settings(url, **given))
    try:
        yield channel
    finally:
        await channel.close()


@pytest.fixture(scope="module", params=[True, False], ids=["pipelining", "step by step"])
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Sink]:
    with Sink(tmp_path_factory.mktemp("sink"), pipelining=request.param) as sink:
        yield sink


@pytest.fixture
def sink(running: Sink) -> Sink:
    """One that takes everything until it is told otherwise."""
    running.behave()
    return running


@pytest.fixture
def taken(sink: Sink) -> Callable[[], list[Mail]]:
    """What the sink took in this test."""
    before = len(sink.mails())
    return lambda: sink.mails()[before:]


@pytest.fixture
async def channel(sink: Sink) -> AsyncIterator[Email]:
    """With a single connection."""
    async with open_channel(sink.url, email_connections=1) as channel:
        yield channel


FATES = [
    # a reply               what it means                  the server's matter
    ("CONNECT", "554 5.3.2 closed", LATER, 554, True),
    ("CONNECT", "421 4.3.2 busy", LATER, 421, True),
    ("CONNECT", "cut", LATER, None, True),
    ("EHLO", "421 4.3.2 busy", LATER, 421, True),
    ("MAIL", "451 4.3.0 not now", LATER, 451, True),
    ("MAIL", "550 5.7.1 not from you", LATER, 550, True),
    ("MAIL", "530 5.7.0 log in first", LATER, 530, True),
    ("MAIL", "552 5.3.4 too big", REFUSED, 552, False),
    ("MAIL", "cut", LATER, None, True),
    ("RCPT", "451 4.7.1 greylisted", LATER, 451, False),
    ("RCPT", "450 4.2.0 busy mailbox", LATER, 450, False),
    ("RCPT", "550 5.1.1 nobody here", REFUSED, 550, False),
    ("RCPT", "552 5.2.2 full", LATER, 552, False),
    ("RCPT", "530 5.7.0 log in first", LATER, 530, True),
    ("RCPT", "421 4.3.2 going down", LATER, 421, True),
    ("RCPT", "999 what", LATER, 999, True),
    ("RCPT", "nonsense", LATER, -1, True),
    ("RCPT", "cut", LATER, None, True),
    ("DATA", "451 4.3.0 not now", LATER, 451, False),
    ("DATA", "554 5.6.0 no", REFUSED, 554, False),
    ("DATA", "250 what?", LATER, None, True),
    ("DATA", "354 go on\r\n250 2.0.0 taken", LATER, None, True),  # whoever believes that loses a mail
    ("DATA", "cut", LATER, None, True),
    ("END", "452 4.3.1 disk full", LATER, 452, False),
    ("END", "554 5.7.1 spam", REFUSED, 554, False),
    ("END", "421 4.3.2 going down", LATER, 421, True),
    ("END", "cut", UNKNOWN, None, True),
    ("TAKEN", "cut", UNKNOWN, None, True),
    ("TAKEN", "nonsense", UNKNOWN, -1, True),
]


@pytest.mark.parametrize(("at", "do", "outcome", "status", "host_failed"), FATES)
async def test_what_a_turn_of_the_conversation_means(
    channel: Email,
    sink: Sink,
    taken: Callable[[], list[Mail]],
    at: Any,
    do: str,
    outcome: Outcome,
    status: int | None,
    host_failed: bool,
) -> None:
    sink.behave(Rule(at, do))
    result = await channel.send(message(item()))
    assert (result.outcome, result.status, result.host_failed) == (outcome, status, host_failed)
    assert result.detail
    assert len(taken()) == (at == "TAKEN")
    sink.behave()  # whatever happened, the next mail is not hurt by it
    assert (await channel.send(message(item()))).outcome is ACCEPTED


async def test_what_the_server_said_is_kept(channel: Email, sink: Sink) -> None:
    sink.behave(Rule("RCPT", "550-5.1.1 no\x01body\r\n550 5.1.1 here"))
    assert (await channel.send(message(item()))).detail == "RCPT TO: 550 5.1.1 no body 5.1.1 here"
    sink.behave(Rule("RCPT", "550 " + "x" * 2 * ANSWER_LIMIT))
    assert len((await channel.send(message(item()))).detail or "") == ANSWER_LIMIT


async def test_one_connection_serves_many_mails(channel: Email, taken: Callable[[], list[Mail]]) -> None:
    for _ in range(3):
        assert (await channel.send(message(item()))).outcome is ACCEPTED
    assert len({mail.connection for mail in taken()}) == 1


async def test_no_more_connections_than_allowed(sink: Sink, taken: Callable[[], list[Mail]]) -> None:
    async with open_channel(sink.url, email_connections=3) as channel:
        results = await asyncio.gather(*(channel.send(message(item())) for _ in range(30)))
    assert {result.outcome for result in results} == {ACCEPTED}
    assert len({mail.id for mail in taken()}) == 30
    assert 1 < len({mail.connection for mail in taken()}) <= 3


async def test_a_connection_is_given_up_after_some_mails(
    channel: Email, taken: Callable[[], list[Mail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAILS", 2)
    for _ in range(5):
        await channel.send(message(item()))
    seen = [mail.connection for mail in taken()]
    assert [seen.count(connection) for connection in dict.fromkeys(seen)] == [2, 2, 1]


async def test_a_connection_unused_for_long_is_not_tried_again(
    channel: Email, taken: Callable[[], list[Mail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0)
    for _ in range(2):
        await channel.send(message(item()))
    assert len({mail.connection for mail in taken()}) == 2


@pytest.mark.parametrize("at", ["RCPT", "DATA", "END"])
async def test_a_refusal_leaves_nothing_to_the_next_mail_on_the_connection(
    channel: Email, sink: Sink, taken: Callable[[], list[Mail]], at: Any
) -> None:
    await channel.send(message(item()))
    sink.behave(Rule(at, "451 4.3.0 not now", times=1))
    await channel.send(message(item(), to="second@example.org"))
    assert (await channel.send(message(item(), to="third@example.org"))).outcome is ACCEPTED
    first, third = taken()
    assert third.recipients == ["third@example.org"]
    assert first.connection == third.connection


async def test_a_server_that_waits_for_a_mail_to_nobody_gets_none(
    sink: Sink, channel: Email, taken: Callable[[], list[Mail]]
) -> None:
    await channel.send(message(item()))
    sink.behave(Rule("RCPT", "550 5.1.1 nobody here", times=1), Rule("DATA", "354 go on", times=1))
    assert (await channel.send(message(item()))).status == 550
    sink.behave()
    assert (await channel.send(message(item()))).outcome is ACCEPTED
    first, second = taken()
    pipelining = sink._given["pipelining"]
    assert (first.connection != second.connection) == pipelining  # who goes step by step never says DATA


async def test_a_server_that_restarted_is_not_noticed(
    channel: Email, sink: Sink, taken: Callable[[], list[Mail]]
) -> None:
    await channel.send(message(item()))
    sink.kill()
    sink.start()  # the event loop stood still meanwhile, as it does between two tasks
    assert (await channel.send(message(item()))).outcome is ACCEPTED
    assert len(taken()) == 2


@pytest.mark.parametrize(
    ("at", "do"), [("MAIL", "cut"), ("RCPT", "cut"), ("DATA", "cut"), ("MAIL", "421 4.4.2 idle"), ("RCPT", "421 idle")]
)
async def test_an_old_connection_that_fails_early_is_replaced(
    channel: Email, sink: Sink, taken: Callable[[], list[Mail]], at: Any, do: str
) -> None:
    await channel.send(message(item()))
    sink.behave(Rule(at, do, times=1))
    assert (await channel.send(message(item()))).outcome is ACCEPTED
    first, second = taken()
    assert first.connection != second.connection


@pytest.mark.parametrize(
    ("at", "do", "outcome"),
    [("END", "cut", UNKNOWN), ("TAKEN", "cut", UNKNOWN), ("TAKEN", "421 4.3.2 going down", LATER)],
)
async def test_nothing_is_sent_again_once_a_mail_has_left(
    channel: Email, sink: Sink, taken: Callable[[], list[Mail]], at: Any, do: str, outcome: Outcome
) -> None:
    await channel.send(message(item()))
    sink.behave(Rule(at, do, times=1))
    assert (await channel.send(message(item()))).outcome is outcome
    assert len(taken()) == 1 + (at == "TAKEN")


async def test_a_server_that_is_away(sink: Sink, tmp_path: Path) -> None:
    other = Sink(tmp_path)  # not started
    async with open_channel(other.url) as channel:
        result = await channel.send(message(item()))
    assert (result.outcome, result.host_failed) == (LATER, True)
    assert "connecting: Error connecting to 127.0.0.1" in (result.detail or "")


@pytest.mark.parametrize(("at", "outcome"), [("CONNECT", LATER), ("RCPT", LATER), ("END", UNKNOWN), ("TAKEN", UNKNOWN)])
async def test_a_server_that_falls_silent(
    channel: Email, sink: Sink, monkeypatch: pytest.MonkeyPatch, at: Any, outcome: Outcome
) -> None:
    monkeypatch.setattr(email, "BEGIN_SECONDS", 2)
    monkeypatch.setattr(email, "TOTAL_SECONDS", 3)
    sink.behave(Rule(at, "hang"))
    result = await channel.send(message(item()))
    assert (result.outcome, result.host_failed) == (outcome, True)
    assert "no answer within" in (result.detail or "")


async def test_a_server_may_read_longer_than_it_may_take_to_begin(
    channel: Email, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "BEGIN_SECONDS", 2)
    sink.behave(Rule("END", "wait 2.5"))
    assert (await channel.send(message(item()))).outcome is ACCEPTED


async def test_waiting_for_a_connection_in_vain_is_not_the_servers_failure(
    channel: Email, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "BEGIN_SECONDS", 0.5)
    sink.behave(Rule("END", "hang", times=1))
    holding = asyncio.create_task(channel.send(message(item())))
    await asyncio.sleep(0)  # it has the connection now
    waiting = await channel.send(message(item()))
    assert (waiting.outcome, waiting.host_failed) == (LATER, False)
    assert (waiting.detail or "").startswith("waiting for a connection")
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert (await channel.send(message(item()))).outcome is ACCEPTED  # the only connection is free again


async def test_a_share_refused_for_now_arrives_by_trying_again(sink: Sink, taken: Callable[[], list[Mail]]) -> None:
    sink.behave(Rule("RCPT", "451 4.7.1 greylisted", share=0.4))
    left = [message(item(), to=f"reader-{number}@example.org") for number in range(50)]
    tries = 0
    async with open_channel(sink.url) as channel:
        while left:
            results = await asyncio.gather(*(channel.send(one) for one in left))
            left = [one for one, result in zip(left, results, strict=True) if result.outcome is not ACCEPTED]
            tries += 1
    assert tries > 1
    assert sorted(mail.recipients[0] for mail in taken()) == sorted(f"reader-{n}@example.org" for n in range(50))


async def test_logging_in(tmp_path: Path) -> None:
    with Sink(tmp_path, auth=("ann", "pass/w#rd")) as sink:
        async with open_channel(sink.url) as channel:
            assert (await channel.send(message(item()))).outcome is ACCEPTED
        async with open_channel(sink.url.replace("w%23rd", "w%24rd")) as channel:
            result = await channel.send(message(item()))
        async with open_channel(sink.url.replace("ann:pass%2Fw%23rd@", "")) as channel:
            without = await channel.send(message(item()))
        assert len(sink.mails()) == 1
    assert (result.outcome, result.status, result.host_failed) == (LATER, 535, True)
    assert "w$rd" not in (result.detail or "")
    assert (without.outcome, without.status, without.host_failed) == (LATER, 530, True)


async def test_starttls(tmp_path: Path) -> None:
    with Sink(tmp_path, tls="starttls", auth=("ann", "secret")) as sink:
        for query, encrypted in (("", True), ("&starttls=always", True), ("&starttls=never", False)):
            async with open_channel(sink.url + query) as channel:
                for _ in range(2):
                    assert (await channel.send(message(item()))).outcome is ACCEPTED
            assert [mail.tls for mail in sink.mails()[-2:]] == [encrypted, encrypted]
        before = len(sink.mails())
        async with open_channel(sink.url.partition("?")[0]) as channel:  # a certificate that nobody vouches for
            result = await channel.send(message(item()))
        assert len(sink.mails()) == before
    assert (result.outcome, result.host_failed) == (LATER, True)
    assert "certificate verify failed" in (result.detail or "")


async def test_starttls_demanded_of_a_server_that_has_none(sink: Sink, taken: Callable[[], list[Mail]]) -> None:
    async with open_channel(f"{sink.url}?starttls=always") as channel:
        result = await channel.send(message(item()))
    assert (result.outcome, result.host_failed) == (LATER, True)
    assert "STARTTLS" in (result.detail or "")
    assert not taken()


async def test_tls_from_the_start(tmp_path: Path) -> None:
    with Sink(tmp_path, tls="tls") as sink:
        async with open_channel(sink.url) as channel:
            for _ in range(2):
                assert (await channel.send(message(item()))).outcome is ACCEPTED
        assert [mail.tls for mail in sink.mails()] == [True, True]
        assert len({mail.connection for mail in sink.mails()}) == 1


async def test_addresses_beyond_ascii(channel: Email, taken: Callable[[], list[Mail]], tmp_path: Path) -> None:
    assert (await channel.send(message(item(), to="бен@пример.example"))).outcome is ACCEPTED
    assert (await channel.send(message(item(), to="ben@пример.example"))).outcome is ACCEPTED
    local, domain = taken()
    assert local.recipients == ["бен@xn--e1afmkfd.example"]
    assert "SMTPUTF8" in local.options
    assert "To: Ben <бен@xn--e1afmkfd.example>\r\n".encode() in local.content
    assert domain.recipients == ["ben@xn--e1afmkfd.example"]
    assert "SMTPUTF8" not in domain.options
    with Sink(tmp_path, utf8=False) as sink:
        async with open_channel(sink.url) as old:
            result = await old.send(message(item(), to="бен@example.org"))
            assert (await old.send(message(item()))).outcome is ACCEPTED
        assert len(sink.mails()) == 1
    assert (result.outcome, result.host_failed) == (REFUSED, False)
    assert "SMTPUTF8" in (result.detail or "")


@pytest.mark.parametrize(
    "address",
    [
        *("", "ben", "@example.org", "ben@", "a@b@c", "b en@example.org", "ben@example.org\n", "ben@exa\x00mple.org"),
        *("ben@[127.0.0.1]", "ben@\u202eexample.org", "ben@ex..ämple", "ben@example.org>\r\nRCPT TO:<eve@example.org"),
    ],
)
async def test_what_is_no_address_never_reaches_the_server(
    channel: Email, taken: Callable[[], list[Mail]], address: str
) -> None:
    result = await channel.send(message(item(), to=address))
    assert (result.outcome, result.host_failed) == (REFUSED, False)
    assert "e-mail address" in (result.detail or "")
    assert not taken()


async def test_all_mails_share_one_destination(channel: Email) -> None:
    assert channel.host(message(item())) == channel.host(message(item(), to="x@example.com")) == "127.0.0.1"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://mail.example.org", "must begin with smtp://"),
        ("mail.example.org:25", "must begin with smtp://"),
        ("smtp://", "must look like"),
        ("smtp://mail.example.org/inbox", "must look like"),
        ("smtp://ann:secr#et@mail.example.org", "%23"),
        ("smtp://ann:secr/et@mail.example.org", "%2F"),
        ("smtp://mail.example.org:smtp", "port"),
        ("smtp://mail.example.org:99999", "port"),
        ("smtp://ann@mail.example.org", "a user and a password"),
        ("smtp://mail.example.org?tls=always", "unknown: tls"),
        ("smtp://mail.example.org?starttls=perhaps", "always or never"),
        ("smtps://mail.example.org?starttls=always", "TLS from the start"),
        ("smtp://mail.example.org?ca=/nowhere.pem", "/nowhere.pem"),
    ],
)
def test_a_wrong_url_is_explained_and_not_shown(url: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        Email(settings(url))
    assert what in str(caught.value)
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("sender", ["", "Planner", "Planner <planner>", "плэннер@example.org", "a@example.org\nBcc: x"])
def test_a_wrong_sender_is_explained(sender: str) -> None:
    with pytest.raises(ValueError, match="MAIL_FROM"):
        Email(settings("smtp://mail.example.org", mail_from=sender))


@pytest.mark.parametrize(
    ("url", "port", "starttls"),
    [
        ("smtp://mail.example.org", 25, None),
        ("smtp://mail.example.org:2525", 2525, None),
        ("smtp://ann:x@mail.example.org", 587, True),  # no password in the open, unless it is asked for
        ("smtp://ann:x@mail.example.org?starttls=never", 587, False),
        ("smtp://ann:x@localhost", 587, None),
        ("smtp://ann:x@127.0.0.1:25", 25, None),
        ("smtps://ann:x@mail.example.org", 465, False),
    ],
)
def test_what_a_url_leaves_out(url: str, port: int, starttls: bool | None) -> None:
    server = Server.of(url)
    assert (server.port, server.starttls) == (port, starttls)


def test_no_server_no_channel() -> None:
    with pytest.raises(ValueError, match="SMTP_URL is not set"):
        Email(Settings(smtp_url=None, encryption_keys="a key for tests, long enough to be one"))
