"""The link at the end of a mail: a POST ends mails, a GET does nothing (RFC 8058)."""

import asyncio
import base64
import hashlib
import logging
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from planner_api.unsubscribe_page import TEXTS, preferred
from planner_common.people import person_id
from planner_common.sealing import Sealer, Unsubscription
from planner_common.settings import Settings
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.tests.conftest import Join, Person

from .conftest import DEFAULTS, Kept, Make

ALL = UUID(int=0)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
GUEST = person_id("guest@example.org")
EN, RU = TEXTS["en"], TEXTS["ru"]


def says(answer: httpx.Response, sentence: str) -> bool:
    return sentence in unescape(answer.text)


class Page(HTMLParser):
    """What of a page would fetch, run or send something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def choices(self) -> list[str | None]:
        return [attributes["value"] for tag, attributes in self.tags if tag == "button"]


def everything(kept: Kept) -> list[list[Any]]:
    return [kept.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("routes", "mutes", "preferences")]


async def test_to_look_changes_nothing(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    event = kept.event(ann, GUEST)
    before = everything(kept)
    for token, choices in [(kept.token(GUEST, event), ["event", "all"]), (kept.token(GUEST, ALL), ["all"])]:
        shown = await client.get(f"/unsubscribe/{token}")
        assert shown.status_code == 200
        assert says(shown, EN["asked"])
        assert Page(shown.text).choices() == choices
        assert ("Dinner" in shown.text) == (choices[0] == "event")
        head = await client.head(f"/unsubscribe/{token}")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/html; charset=utf-8")
        with_words = await client.get(f"/unsubscribe/{token}", params=ONE_CLICK | {"what": "all"})
        assert says(with_words, EN["asked"])
        for method in ("PUT", "PATCH", "DELETE"):
            assert (await client.request(method, f"/unsubscribe/{token}", data=ONE_CLICK)).status_code == 405
    assert everything(kept) == before == [[], [], []]


async def test_the_page_loads_nothing_and_is_told_to_nobody(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    token = kept.token(GUEST, kept.event(ann, GUEST, title="<script>alert(1)</script>"))
    bad = f"{token[:-6]}AAAA=="
    for answer in (
        await client.get(f"/unsubscribe/{token}"),
        await client.post(f"/unsubscribe/{token}", data=ONE_CLICK),
        await client.post(f"/unsubscribe/{token}"),
        await client.get(f"/unsubscribe/{bad}"),
    ):
        page = Page(answer.text)
        assert {tag for tag, _ in page.tags} <= {
            *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "form", "button")
        }
        assert not [attributes for _, attributes in page.tags if {"src", "href", "action", "style"} & set(attributes)]
        assert ("meta", {"name": "robots", "content": "noindex, nofollow"}) in page.tags
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        style = re.search("<style>(.*)</style>", answer.text, re.DOTALL)
        assert style
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert answer.headers["content-security-policy"].split("; ") == [
            "default-src 'none'",
            f"style-src 'sha256-{digest}'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
async def test_one_click_mutes_the_event(client: httpx.AsyncClient, ann: Person, kept: Kept, form: str) -> None:
    event, other = kept.event(ann, GUEST), kept.event(ann, GUEST)
    body: dict[str, Any] = {"data": ONE_CLICK}
    if form == "multipart":
        body = {"files": {name: (None, value) for name, value in ONE_CLICK.items()}}
    for _ in range(2):
        done = await client.post(f"/unsubscribe/{kept.token(GUEST, event)}", **body)
        assert done.status_code == 200
        assert says(done, EN["event"])
        assert says(done, EN["undo"])
        assert Page(done.text).choices() == []
    [mute] = kept.mutes(GUEST)
    assert (mute.event_id, mute.until) == (event, None)
    assert mute.event_id != other
    assert kept.routes(GUEST) == []


async def test_one_click_in_a_digest_ends_all_mails(
    client: httpx.AsyncClient, ann: Person, make: Make, kept: Kept
) -> None:
    hook = await make("webhook")
    for _ in range(2):
        done = await client.post(f"/unsubscribe/{kept.token(ann.person_id, ALL)}", data=ONE_CLICK)
        assert done.status_code == 200
        assert says(done, EN["all"])
    [route] = kept.routes(ann.person_id)
    assert (route.type, route.kinds, route.until) == ("email", [], None)
    assert kept.kinds(hook["id"]) == DEFAULTS, "that is no mail"
    assert kept.mutes(ann.person_id) == []
    # As the page says, the preferences undo it.
    preferences = (await ann.get("/me/preferences")).json()
    assert preferences["email"]["kinds"] == []
    preferences["email"]["kinds"] = DEFAULTS
    assert (await ann.put("/me/preferences", json=preferences)).status_code == 200
    assert kept.kinds(ann.person_id) == DEFAULTS


async def test_at_once_it_is_done_once(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    event = kept.event(ann, GUEST)
    for token in (kept.token(GUEST, event), kept.token(GUEST, ALL)):
        answers = await asyncio.gather(*(client.post(f"/unsubscribe/{token}", data=ONE_CLICK) for _ in range(6)))
        assert [answer.status_code for answer in answers] == [200] * 6
    assert (len(kept.mutes(GUEST)), len(kept.routes(GUEST))) == (1, 1)


async def test_the_form_says_which(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    event = kept.event(ann, GUEST)
    address = f"/unsubscribe/{kept.token(GUEST, event)}"
    assert says(await client.post(address, data={"what": "event"}), EN["event"])
    assert (len(kept.mutes(GUEST)), kept.routes(GUEST)) == (1, [])
    assert says(await client.post(address, data={"what": "all"}), EN["all"])
    assert (len(kept.mutes(GUEST)), kept.kinds(GUEST)) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {"what": "nothing"}},
        {"data": {"List-Unsubscribe": "one-click"}},
        {"json": ONE_CLICK},
        {"files": {"what": ("all.txt", b"all")}},
        {"content": b"\xff\xfe=%zz&&;;", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"nonsense", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": {str(number): "x" for number in range(50)}},
    ],
)
async def test_what_is_unclear_ends_nothing(
    client: httpx.AsyncClient, ann: Person, kept: Kept, body: dict[str, Any]
) -> None:
    event = kept.event(ann, GUEST)
    answer = await client.post(f"/unsubscribe/{kept.token(GUEST, event)}", **body)
    assert answer.status_code == 400
    assert says(answer, EN["unclear"])
    assert Page(answer.text).choices() == ["event", "all"]
    assert everything(kept) == [[], [], []]


async def test_a_link_about_all_ends_no_event(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    assert (await client.post(f"/unsubscribe/{kept.token(GUEST, ALL)}", data={"what": "event"})).status_code == 400
    assert everything(kept) == [[], [], []]


async def test_a_long_body_is_refused(client: httpx.AsyncClient, kept: Kept) -> None:
    answer = await client.post(f"/unsubscribe/{kept.token(GUEST, ALL)}", data={"what": "x" * 20_000})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


async def test_in_a_mail_to_another_address_it_ends_what_goes_there(
    client: httpx.AsyncClient, ann: Person, make: Make, kept: Kept
) -> None:
    mail, other = await make("email"), await make("email")
    token = kept.token(ann.person_id, ALL, UUID(mail["id"]))
    for _ in range(2):
        assert says(await client.post(f"/unsubscribe/{token}", data=ONE_CLICK), EN["all"])
    assert [route.kinds for route in kept.routes(mail["id"])] == [DEFAULTS, []]
    assert kept.kinds(other["id"]) == DEFAULTS
    assert kept.routes(ann.person_id) == []


async def test_who_gets_codes_of_a_stranger_can_end_them(
    client: httpx.AsyncClient, ann: Person, bob: Person, make: Make, kept: Kept
) -> None:
    mail, other = await make("email", verified=False), await make("email", bob, verified=False)
    for channel in (mail, other):
        token = kept.token(ann.person_id, ALL, UUID(channel["id"]))
        assert (await client.post(f"/unsubscribe/{token}", data=ONE_CLICK)).status_code == 200
    assert (await ann.post(f"/me/channels/{mail['id']}/code")).status_code == 404
    assert kept.channel(mail["id"]).address == b""
    assert kept.channel(other["id"]).ended_at is None


async def test_a_channel_that_is_gone_stays_gone(
    client: httpx.AsyncClient, ann: Person, bob: Person, make: Make, kept: Kept
) -> None:
    ended, foreign = await make("email"), await make("email", bob)
    await ann.delete(f"/me/channels/{ended['id']}")
    for channel in (ended["id"], foreign["id"], str(uuid4())):
        token = kept.token(ann.person_id, ALL, UUID(channel))
        assert (await client.post(f"/unsubscribe/{token}", data=ONE_CLICK)).status_code == 200
    assert kept.kinds(ended["id"]) is None
    assert kept.kinds(foreign["id"]) == DEFAULTS
    assert len(kept.rows("SELECT * FROM routes")) == 2


async def test_an_event_that_is_not_there_is_no_trouble(client: httpx.AsyncClient, kept: Kept) -> None:
    token = kept.token(GUEST, uuid4())
    assert (await client.get(f"/unsubscribe/{token}")).status_code == 200
    assert (await client.post(f"/unsubscribe/{token}", data=ONE_CLICK)).status_code == 200
    assert everything(kept) == [[], [], []]


async def test_only_our_own_links_are_good(
    client: httpx.AsyncClient, ann: Person, kept: Kept, settings: Settings
) -> None:
    event = kept.event(ann, GUEST)
    good = kept.token(GUEST, event)
    stranger = Sealer(SecretStr("the key of somebody else, long enough"))
    sealed = kept.sealer.seal({"email": "guest@example.org"}).decode()
    for token in [
        f"{good[:30]}{'A' if good[30] != 'A' else 'B'}{good[31:]}",
        good[:-5],
        Unsubscription(GUEST, GUEST, event).token(stranger),
        sealed,
        "nonsense",
        "%D0%AF",
        "x" * 5_000,
    ]:
        for method in ("GET", "POST"):
            answer = await client.request(method, f"/unsubscribe/{token}", data=ONE_CLICK)
            assert answer.status_code == 404, token
            assert says(answer, EN["unknown"])
            assert Page(answer.text).choices() == []
    assert everything(kept) == [[], [], []]
    # After a rotation the links in old mails still work.
    assert settings.encryption_keys is not None
    keys = SecretStr(f"a newer key, which is long enough,{settings.encryption_keys.get_secret_value()}")
    assert Unsubscription.of(good, Sealer(keys)) == Unsubscription(GUEST, GUEST, event)


async def test_it_is_in_the_readers_language(client: httpx.AsyncClient, join: Join, kept: Kept) -> None:
    olga, ann = join("Olga", locale="ru-KZ"), join("Ann", locale="en-GB")
    event = kept.event(ann, olga.person_id, GUEST)
    russian, english = {"Accept-Language": "ru"}, {"Accept-Language": "en"}
    for person, headers, texts in [
        (olga.person_id, english, RU),
        (ann.person_id, russian, EN),
        (GUEST, russian, RU),
        (GUEST, english, EN),
        (GUEST, {}, EN),
    ]:
        address = f"/unsubscribe/{kept.token(person, event)}"
        assert says(await client.get(address, headers=headers), texts["asked"])
        assert says(await client.post(address, headers=headers, data=ONE_CLICK), texts["event"])
    assert set(EN) == set(RU)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("de, en;q=0.5, ru;q=0.7", "ru"),
        ("ru;q=0, *", "en"),
        ("de-DE", "en"),
        ("en, ru", "en"),
        ("ru;q=nonsense, en;q=0.1", "en"),
        ("ru;q=nan", "en"),
        (",;q=,ru;", "ru"),
    ],
)
def test_what_a_browser_asks_for(header: str, language: str) -> None:
    assert preferred(header) == language


async def test_the_title_is_only_for_who_is_in_the_event(client: httpx.AsyncClient, ann: Person, kept: Kept) -> None:
    event = kept.event(ann, GUEST)
    for person in (GUEST, ann.person_id):
        assert says(await client.get(f"/unsubscribe/{kept.token(person, event)}"), "Dinner")
    kept.rows("UPDATE participants SET until_change = 9 RETURNING id")
    left = await client.get(f"/unsubscribe/{kept.token(GUEST, event)}")
    assert left.status_code == 200
    assert not says(left, "Dinner")
    kept.rows("UPDATE events SET deleted_at = now() RETURNING id")
    assert not says(await client.get(f"/unsubscribe/{kept.token(ann.person_id, event)}"), "Dinner")


async def test_neither_addresses_nor_links_are_told(
    client: httpx.AsyncClient, ann: Person, make: Make, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mail = await make("email")
    token = kept.token(ann.person_id, kept.event(ann, ann.person_id), UUID(mail["id"]))
    with capture_logs() as logs:
        answers = [
            await client.get(f"/unsubscribe/{token}"),
            await client.post(f"/unsubscribe/{token}", data={"what": "all"}),
            await client.post(f"/unsubscribe/{token}", data={"what": "event"}),
        ]
    assert not [answer for answer in answers if "@" in answer.text]
    assert [line["route"] for line in logs] == ["/unsubscribe/{token}"] * 3
    assert token not in str(logs)
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert not [line for line in logged if token in line]
