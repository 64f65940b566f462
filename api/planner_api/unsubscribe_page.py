"""The page behind the links that end mails: for people with a browser and no login, in their language.

It loads nothing, runs nothing, names no address and is told to nobody: its own address is what gives access.
"""
# ruff: noqa: RUF001  # texts in Russian

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Template

Language = Literal["en", "ru"]
State = Literal["asked", "event", "all", "unclear", "unknown"]

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "heading": "Messages from Planner",
        "asked": "Nothing has changed yet. What do you no longer want?",
        "unclear": "Nothing has changed: it was not clear what you no longer want.",
        "event": "You will get no more messages about this event, on any channel.",
        "all": "You will get no more e-mail from Planner at this address.",
        "unknown": "This link is not good. Perhaps it was cut off on its way: try the one in the mail again.",
        "event_button": "No more messages about this event",
        "event_note": "Nothing about it will be sent to you, by e-mail or on any other channel.",
        "all_button": "No more e-mail at all",
        "all_note": "Planner will send no more e-mail to the address at which you got this link.",
        "undo": "To undo this, log in to Planner and change your preferences. Without an account, open one with the "
        "address at which you got the mail.",
    },
    "ru": {
        "heading": "Сообщения от Planner",
        "asked": "Пока ничего не изменилось. Что вам больше не нужно?",
        "unclear": "Ничего не изменилось: непонятно, что вам больше не нужно.",
        "event": "Сообщений об этом событии больше не будет ни по одному из каналов.",
        "all": "Писем от Planner на этот адрес больше не будет.",
        "unknown": "Эта ссылка не действует. Возможно, она дошла не целиком: попробуйте ещё раз ту, что в письме.",
        "event_button": "Больше никаких сообщений об этом событии",
        "event_note": "О нём вам ничего не будет приходить ни по почте, ни по другим каналам.",
        "all_button": "Больше никаких писем",
        "all_note": "Planner больше не будет писать на адрес, на который пришла эта ссылка.",
        "undo": "Чтобы отменить это, войдите в Planner и измените свои настройки. Если учётной записи нет, "
        "зарегистрируйтесь с адресом, на который пришло письмо.",
    },
}
LANGUAGES = tuple(TEXTS)

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.5rem 1rem}"
)
# The style goes in unescaped: the policy names the hash of exactly these characters.
PAGE = """\
<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex, nofollow">
<title>{{ texts.heading }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ texts.heading }}</h1>
<p>{{ texts[state] }}</p>
{%- if state in ("asked", "unclear") %}
<form method="post">
{%- if of_event %}
{%- if title %}
<h2>{{ title }}</h2>
{%- endif %}
<p>{{ texts.event_note }}</p>
<p><button name="what" value="event">{{ texts.event_button }}</button></p>
{%- endif %}
<p>{{ texts.all_note }}</p>
<p><button name="what" value="all">{{ texts.all_button }}</button></p>
</form>
{%- elif state != "unknown" %}
<p>{{ texts.undo }}</p>
{%- endif %}
</body>
</html>
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
STATUS = {"unclear": 400, "unknown": 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """For whom the page is, and about what."""

    language: Language
    of_event: bool = False
    title: str | None = None
    """Of the event, as long as it is the reader's business."""


@lru_cache(maxsize=1)
def template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  # 2 MB, with the first page that anyone opens

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)


def page(state: State, reading: Reading) -> HTMLResponse:
    content = template().render(
        language=reading.language,
        texts=TEXTS[reading.language],
        state=state,
        style=STYLE,
        of_event=reading.of_event,
        title=reading.title,
    )
    return HTMLResponse(content, STATUS.get(state, 200), HEADERS)


def language_of(tag: str) -> Language | None:
    """The language of a BCP 47 tag, if there are texts in it."""
    match tag.strip().partition("-")[0].lower():
        case "en":
            return "en"
        case "ru":
            return "ru"
    return None


def preferred(accept_language: str) -> Language:
    """What a browser asks for (RFC 9110 §12.5.4), English if there is nothing of it."""
    found: list[tuple[float, Language]] = []
    for item in accept_language.split(",")[:20]:
        tag, _, parameter = item.partition(";")
        language = language_of(tag)
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if language is not None and weight > 0:
            found.append((weight, language))
    return max(found, key=lambda one: one[0], default=(0, "en"))[1]  # the first of equals
