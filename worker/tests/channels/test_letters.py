"""What mails say, and that they are mails: read by Python's own parser, which notes every defect."""
# ruff: noqa: RUF001  # texts in Russian

import re
from datetime import UTC, datetime, timedelta
from email import charset, message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast
from urllib.parse import unquote
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planner_common.deliveries import KINDS, Purpose
from planner_common.sealing import Sealer, Unsubscription
from planner_common.settings import Settings
from planner_common.summaries import TEXTS as SENTENCES
from planner_common.summaries import Reader
from planner_worker.channels import Item, Message
from planner_worker.channels.email import Email
from planner_worker.mail.bodies import TEXTS, quoted
from planner_worker.mail.headers import HARMFUL, line
from planner_worker.mail.letters import EVERYTHING, Letters

from tests.smtp import Sink
from worker.tests.channels.messages import EVENT, item, message

SETTINGS = Settings(
    smtp_url="smtp://127.0.0.1:1",
    encryption_keys="a key for tests, long enough to be one",
    mail_from="Planner <planner@example.com>",
    public_url="https://planner.example.com/",
)
LETTERS = Letters(SETTINGS)
RUSSIAN = Reader("ru", "Europe/Moscow")
ANY_TEXT = st.text(max_size=300)
NAMES = ["From", "Subject", "In-Reply-To", "References", "List-Id", "Auto-Submitted", "MIME-Version", "Content-Type"]
NAMES += ["To", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"]


def received(message: Message, letters: Letters = LETTERS) -> EmailMessage:
    """The mail as it is on the other side, having passed every check there is."""
    content = letters.envelope(message).content
    assert content.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", content)
    assert not re.search(rb"^\.(?!\.)", content, re.MULTILINE)
    assert max(len(one) for one in content.split(b"\r\n")) <= 998
    assert content.isascii()
    mail = cast("EmailMessage", message_from_bytes(content.replace(b"\r\n..", b"\r\n."), policy=policy.default))
    for part in mail.walk():
        assert not part.defects
        assert not [defect for value in part.values() for defect in value.defects]
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    return mail


def said(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    text = cast("str", part.get_content()).replace("\r\n", "\n")
    return text.replace("\u202f", " ").replace("\xa0", " ")  # the narrow spaces of CLDR


def opened(mail: EmailMessage) -> Unsubscription:
    link = re.fullmatch("<https://planner.example.com/unsubscribe/(.+)>", mail["List-Unsubscribe"])
    assert link is not None
    return Unsubscription.of(unquote(link[1]), Sealer(SETTINGS.encryption_keys))


def test_an_invitation() -> None:
    told = item(location="Room 1", url="https://example.org/x?a=b&c=d", description="Bring:\n\n.coffee\n.\nand tea")
    to_ben = message(told)
    mail = received(to_ben)
    assert mail["From"] == "Planner <planner@example.com>"
    assert mail["To"] == "Ben <ben@example.org>"
    assert mail["Subject"] == "Invitation: Standup"
    assert mail["Message-ID"] == f"<{to_ben.id}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs(parsedate_to_datetime(mail["Date"]) - datetime.now(UTC)) < timedelta(hours=1)
    [token] = re.findall("https://planner.example.com/unsubscribe/([A-Za-z0-9_%-]+)$", said(mail), re.MULTILINE)
    assert said(mail) == (
        "Hello Ben,\n"
        "\n"
        "Ann invited you to “Standup”: Sunday, March 29, 2026, 9:00 AM.\n"
        "\n"
        "When: Sunday, March 29, 2026, 9:00 AM – 10:00 AM (Central European Summer Time)\n"
        "Where: Room 1\n"
        "Link: https://example.org/x?a=b&c=d\n"
        "Organizer: Ann <ann@example.org>\n"
        "\n"
        "Bring:\n"
        "\n"
        ".coffee\n"
        ".\n"
        "and tea\n"
        "\n"
        "-- \n"
        "You get this mail because you take part in this event or organize it.\n"
        f"No more mails about this event: https://planner.example.com/unsubscribe/{token}\n"
    )
    html = said(mail, "html")
    assert '<a href="https://example.org/x?a=b&amp;c=d">https://example.org/x?a=b&amp;c=d</a>' in html
    assert f'<a href="https://planner.example.com/unsubscribe/{token}">No more mails about this event</a>' in html
    assert '<html lang="en">' in html


def test_a_place_that_became_free() -> None:
    promoted = item(kind="update", actor=None, diff={"response": ["tentative", "accepted"], "waiting": [True, False]})
    english, russian = (received(message(promoted, reader=reader)) for reader in (None, RUSSIAN))
    assert english["Subject"] == "A place for you: Standup"
    assert "A place has become free, and it is yours: you take part in “Standup” (Sunday" in said(english)
    assert russian["Subject"] == "Для вас есть место: Standup"
    assert "Освободилось место, и оно ваше: вы участвуете в событии «Standup»" in said(russian)


def test_whoever_has_the_place_is_named_on_one_line() -> None:
    diff = {"response": ["accepted", "declined"], "promoted": [None, "Carl\u202e\r\nBcc: eve@example.org"]}
    text = said(received(message(item(kind="response", diff=diff))))
    assert "Ann declined “Standup”. The place goes to Carl Bcc: eve@example.org.\n" in text


def test_in_russian_and_in_another_zone() -> None:
    mail = received(message(item(description="Кофе"), reader=RUSSIAN, name="Анна Петрова"))
    assert mail["Subject"] == "Приглашение: Standup"
    assert mail["To"] == "Анна Петрова <ben@example.org>"
    assert said(mail).startswith(
        "Здравствуйте, Анна Петрова!\n"
        "\n"
        "Ann приглашает вас на «Standup»: воскресенье, 29 марта 2026 г., 10:00.\n"
        "\n"
        "Когда: воскресенье, 29 марта 2026 г., 10:00 – 11:00 (Москва, стандартное время)\n"
        "Организатор: Ann <ann@example.org>\n"
        "\n"
        "Кофе\n"
        "\n"
        "-- \n"
        "Вы получили это письмо, потому что участвуете в этом событии или организуете его.\n"
    )
    assert '<html lang="ru">' in said(mail, "html")
    assert "Когда</th>" in said(mail, "html")


def test_nobody_knows_the_name() -> None:
    mail = received(message(item(), name=None))
    assert mail["To"] == "ben@example.org"
    assert said(mail).startswith("Hello,\n")


def march(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "when"),
    [
        ({"ends_at": march(30, 7)}, "9:00 AM – Monday, March 30, 2026, 9:00 AM (Central"),
        ({"all_day": True, "starts_at": march(29), "ends_at": march(30)}, "When: Sunday, March 29, 2026\n"),
        (
            {"all_day": True, "starts_at": march(29), "ends_at": march(31)},
            "When: Sunday, March 29, 2026 – Monday, March 30, 2026\n",
        ),
    ],
    ids=["overnight", "a whole day", "whole days"],
)
def test_when(given: dict[str, object], when: str) -> None:
    assert when in said(received(message(item(**given))))


def test_a_mail_has_these_headers_and_no_others() -> None:
    assert sorted(received(message(item())).keys()) == sorted(NAMES)


def test_mails_about_an_event_are_a_thread() -> None:
    mails = [received(message(item(kind=kind))) for kind in ("invitation", "cancellation")]
    thread = f"<{EVENT}@example.com>"
    for mail in mails:
        assert mail["In-Reply-To"] == mail["References"] == thread
        assert mail["List-Id"] == f"<{EVENT}.example.com>"
    assert len({thread, *(mail["Message-ID"] for mail in mails)}) == 3
    other = received(message(item(event_id=uuid4())))
    assert other["References"] != thread


def test_a_try_has_the_same_id_as_the_one_before() -> None:
    one = message(item())
    assert received(one)["Message-ID"] == received(one)["Message-ID"]


def test_one_click_ends_the_mails_about_an_event() -> None:
    one = message(item())
    mail = received(one)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert opened(mail) == Unsubscription(one.person_id, one.channel_id, EVENT)


def test_a_digest_is_one_mail() -> None:
    items = (item(), item(kind="cancellation", title="Retro", event_id=uuid4()), item(kind="removal", title="Lunch"))
    one = message(*items)
    mail = received(one)
    assert mail["Subject"] == "What is new in your events (3)"
    assert mail["In-Reply-To"] is mail["List-Id"] is None
    assert opened(mail) == Unsubscription(one.person_id, one.channel_id, EVERYTHING)
    for text in (said(mail), said(mail, "html")):
        assert text.index("Ann invited you to “Standup”") < text.index("“Retro” was cancelled") < text.index("“Lunch”")
        assert "No more mails at all" in text
    assert received(message(*items, reader=RUSSIAN))["Subject"] == "Новое в ваших событиях (3)"


@pytest.mark.parametrize(
    ("reader", "subject", "text"),
    [
        (Reader("en", "UTC"), "Your code: 123456", "Enter this code where you gave this address: 123456. If that"),
        (RUSSIAN, "Ваш код: 123456", "Введите этот код там, где вы указали этот адрес: 123456. Если это"),
    ],
)
def test_a_code(reader: Reader, subject: str, text: str) -> None:
    mail = received(message(purpose=Purpose.CODE, code="123456", reader=reader))
    assert mail["Subject"] == subject
    assert text in said(mail)
    assert text in said(mail, "html")
    assert mail["List-Unsubscribe"] is mail["In-Reply-To"] is mail["List-Id"] is None
    assert "unsubscribe" not in said(mail) + said(mail, "html")


def test_a_test() -> None:
    mail = received(message(purpose=Purpose.TEST))
    assert (mail["Subject"], said(mail)) == (
        "A test from Planner",
        "Hello Ben,\n\nPlanner can reach you at this address.\n\n",
    )


def test_every_language_says_everything() -> None:
    assert TEXTS.keys() == SENTENCES.keys()
    for texts in TEXTS.values():
        assert texts.keys() == TEXTS["en"].keys()
        assert sorted(texts["subjects"]) == sorted([*KINDS, "promotion"])


@settings(deadline=None)
@given(title=ANY_TEXT, name=ANY_TEXT, place=ANY_TEXT, words=ANY_TEXT)
@example(
    title="a\r\nBcc: eve@example.org\r\n\r\nx", name="b\nBcc: c", place="\r\n.\r\nMAIL FROM:<x>", words="\r\n.\r\n"
)
@example(title="=?utf-8?q?fake?=", name="=?utf-8?q?fake?=", place="=_planner", words="--=_planner--\n\n--=_planner")
@example(title='"<>\\', name='Ben "<eve@example.org>", \\', place="{{ 7 * 7 }}", words="{title} {0} %s ${x}")
@example(title="\u202etxt.exe", name="\u2066Ben\x00\x08", place="\ud800", words="\u2028\u0085\x0b")
@example(title="x" * 300, name="я" * 300, place="語" * 300, words="a " * 150)
@example(title=" ", name="\t", place="\n", words=" \n ")
def test_what_users_wrote_stays_text(title: str, name: str, place: str, words: str) -> None:
    mail = received(message(item(title=title, actor=name, location=place, description=words), name=name))
    assert sorted(mail.keys()) == sorted(NAMES)
    assert mail["Subject"] == f"Invitation: {line(title, 200)}".strip()
    [to] = mail["To"].addresses
    assert to.addr_spec == "ben@example.org"
    # Python's parser puts spaces where a long name was folded.
    assert to.display_name.replace(" ", "") == line(name, 100).replace(" ", "")
    for kind in ("plain", "html"):
        assert not HARMFUL.search(said(mail, kind))


def test_what_breaks_lines_parts_words() -> None:
    assert line("\r\na\tb\x00\u2028c\x85d\r e\u202e \x07 f ", 100) == "a b c d e f"


def test_markup_is_text_in_html() -> None:
    evil = "<script>alert('&')</script>"
    told = item(title=evil, actor=evil, location=evil, description=evil, organizer_name=evil)
    html = said(received(message(told, name=evil)), "html")
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;") == 7
    assert evil in said(received(message(told)))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "https://example.org/\u202etxt", "x"])
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    assert html_links(message(item(url=url))) == 1  # the one that ends the mails


def html_links(message: Message) -> int:
    return said(received(message), "html").count("<a ")


def test_long_descriptions_are_cut() -> None:
    text = said(received(message(item(description="word " * 1000))))
    assert "word…\n" in text
    assert len(text) < 2_000


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])), max_size=5))
@example(["a" * 76])
@example(["a" * 75 + " ", ".b", "c"])
@example([".", "\n.\n..", "\n", " "])
def test_pieces_encode_what_they_are_pieces_of(pieces: list[str]) -> None:
    encoded = b"".join(map(quoted, pieces))
    lines = encoded.split(b"\r\n")
    assert lines[-1] == b""
    assert not any(one.startswith(b".") and not one.startswith(b"..") for one in lines)
    unstuffed = [one.removeprefix(b".") for one in lines]
    assert max(map(len, unstuffed)) <= 76
    header = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    part = message_from_bytes(header + b"\r\n".join(unstuffed))
    assert cast("bytes", part.get_payload(decode=True)).replace(b"\r\n", b"\n").decode() == "".join(pieces)


@pytest.fixture
def others() -> list[tuple[Item, Reader]]:
    """Each differs in one thing from the first, and says something else."""
    return [
        (item(), Reader("en", "Europe/Berlin")),
        (item(), Reader("en", "Asia/Tokyo")),
        (item(), Reader("ru", "Europe/Berlin")),
        (item(title="Retro"), Reader("en", "Europe/Berlin")),
        (item(location="Room 2"), Reader("en", "Europe/Berlin")),
        (item(organizer_name="Cleo"), Reader("en", "Europe/Berlin")),
        (item(kind="cancellation"), Reader("en", "Europe/Berlin")),
        (item(kind="update", change_id=2, diff={"title": ["a", "b"]}), Reader("en", "Europe/Berlin")),
        (item(kind="update", change_id=3, diff={"location": ["a", "b"]}), Reader("en", "Europe/Berlin")),
    ]


def test_what_is_kept_for_others_is_only_what_is_the_same(others: list[tuple[Item, Reader]]) -> None:
    letters = Letters(SETTINGS)
    for _ in range(2):
        mails = [received(message(told, reader=reader), letters) for told, reader in others]
        assert len({said(mail).partition("-- \n")[0] for mail in mails}) == len(others)
    to_ann, to_ben = message(item(), name="Ann", to="ann@example.org"), message(item())
    for one, hello in ((to_ann, "Hello Ann,"), (to_ben, "Hello Ben,")):
        mail = received(one, letters)
        assert said(mail).startswith(hello)
        assert hello in said(mail, "html")
        assert mail["To"].addresses[0].addr_spec == one.address["email"]
        assert opened(mail).person_id == one.person_id


async def test_what_arrives_is_what_was_written(tmp_path: Path) -> None:
    told = item(title="Кофе", description="..\n.\n" + "x." * 500, location="é" * 200)
    with Sink(tmp_path) as sink:
        channel = Email(SETTINGS.model_copy(update={"smtp_url": Settings(smtp_url=sink.url).smtp_url}))
        await channel.send(message(told))
        await channel.close()
        [mail] = sink.mails()
    assert mail.sender == "planner@example.com"
    assert UUID(cast("str", mail.id).removeprefix("<").partition("@")[0])
    assert "..\n.\nx.x." in said(mail.parsed())
    assert not [defect for part in mail.parsed().walk() for defect in part.defects]


def test_what_others_do_to_the_email_package_changes_no_mail() -> None:
    """Apprise's own plugin for mail says for the whole process how UTF-8 is encoded."""
    before = received(message(item(), reader=RUSSIAN, name="Анна Петрова"))["To"]
    kept = dict(charset.CHARSETS)
    charset.add_charset("utf-8", charset.QP, charset.QP, "utf-8")
    try:
        assert received(message(item(), reader=RUSSIAN, name="Анна Петрова"))["To"] == before
    finally:
        charset.CHARSETS.clear()
        charset.CHARSETS.update(kept)
