"""What a mail says: its subject, and its body with gaps where mails to different people differ."""

import re
import tomllib
from binascii import b2a_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from planner_common.deliveries import Purpose
from planner_common.summaries import TEXTS as SENTENCES
from planner_common.summaries import Reader, locale_of, period, summary, topic

from planner_worker.channels import Item
from planner_worker.mail.headers import line, lines

TITLE, NAME, PLACE, URL, DESCRIPTION = 200, 100, 300, 1_500, 1_000
"""Characters of them that a mail shows."""
BOUNDARY = "=_planner"
"""Stands in no body: `=_` is not quoted-printable."""

TEXTS: dict[str, dict[str, Any]] = {
    language: tomllib.loads(files("planner_worker").joinpath("templates", f"{language}.toml").read_text("utf-8"))
    for language in SENTENCES
}
ENVIRONMENT = Environment(
    loader=PackageLoader("planner_worker"),
    autoescape=select_autoescape(["html.jinja"], default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
PLAIN = ENVIRONMENT.get_template("mail.txt.jinja")
HTML = ENVIRONMENT.get_template("mail.html.jinja")


class Gap(StrEnum):
    """What is another for each recipient."""

    GREETING = "greeting"
    UNSUBSCRIBE = "unsubscribe"
    """The URL."""


DOT = re.compile(rb"^\.", re.MULTILINE)
MARK = "\x00"
"""Around a gap's name. Users' text never has it: `line` and `lines` take it out."""

Body = Sequence[bytes | Gap]
"""Encoded for the wire. What fills a gap is encoded by `quoted`."""


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A notification, a code, or a test."""

    sentence: str
    facts: Sequence[Fact] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A mail but for its recipient."""

    subject: str
    plain: Body
    html: Body


def said(purpose: Purpose, items: Sequence[Item], code: str | None, reader: Reader) -> Said:
    language = locale_of(reader.locale).language
    texts = TEXTS[language]
    context: dict[str, Any] = {"why": "", "end": ""}
    if purpose is Purpose.NOTIFICATION:
        one = items[0] if len(items) == 1 else None
        parts = [_part(item, reader, texts, described=one is not None) for item in items]
        if one is not None:
            subject = texts["subjects"][topic(one.kind, one.diff)].format(title=line(one.title, TITLE)).strip()
            context = {"why": texts["why"], "end": texts["end"]}
        else:
            subject = texts["digest"].format(count=len(items))
            context = {"why": texts["why_digest"], "end": texts["end_digest"]}
    else:
        values = {"code": line(code or "", NAME)}
        subject = texts[purpose].format_map(values)
        parts = [Part(texts[f"{purpose}_text"].format_map(values))]
    context |= {"language": language, "subject": subject, "parts": parts}
    return Said(subject, _body(PLAIN, context), _body(HTML, context))


def _part(item: Item, reader: Reader, texts: Mapping[str, str], *, described: bool) -> Part:
    title, actor = line(item.title, TITLE), line(item.actor or "", NAME) or None
    diff = dict(item.diff)
    if "promoted" in diff:
        diff["promoted"] = [None, line(diff["promoted"][1], NAME)]
    facts = [Fact(texts["when"], period(item.start, item.end, reader=reader))]
    if item.location and (place := line(item.location, PLACE)):
        facts.append(Fact(texts["where"], place))
    if item.url and (url := line(item.url, URL)):
        safe = url == item.url and re.match("https?://", url, re.IGNORECASE)
        facts.append(Fact(texts["link"], url, url if safe else None))
    organizer = f"{line(item.organizer_name, NAME)} <{line(item.organizer_email, PLACE)}>"
    facts.append(Fact(texts["organizer"], organizer))
    return Part(
        summary(item.kind, title, item.start, actor, diff, reader=reader),
        facts,
        lines(item.description, DESCRIPTION) if described and item.description else None,
    )


def greeting(name: str | None, reader: Reader) -> str:
    texts = TEXTS[locale_of(reader.locale).language]
    known = line(name or "", NAME)
    return str(texts["hello"]).format(name=known) if known else str(texts["hello_nobody"])


def _body(template: Template, context: dict[str, Any]) -> Body:
    text = template.render(context | {gap.value: f"{MARK}{gap}{MARK}" for gap in Gap})
    pieces = text.split(MARK)
    return [Gap(piece) if number % 2 else quoted(piece) for number, piece in enumerate(pieces)]


def quoted(text: str) -> bytes:
    """A piece of a text, whose lines end in `\\n`, as quoted-printable (RFC 2045 §6.7) for SMTP.

    Each piece begins and ends a line of the encoding, whether or not it does so in the text, so pieces put together
    encode the texts put together. Dots at beginnings of lines are doubled (RFC 5321 §4.5.2).
    """
    if not text:
        return b""
    if text.endswith("\n"):
        encoded = b2a_qp(text.encode(), istext=True)
    else:  # the x keeps room for the = that says that the line goes on
        encoded = b2a_qp(f"{text}x".encode(), istext=True)[:-1]
        encoded += b"" if encoded.endswith(b"=\n") else b"=\n"
    return DOT.sub(b"..", encoded).replace(b"\n", b"\r\n")
