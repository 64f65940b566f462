"""What a notification says: one sentence in the reader's language, with times in the reader's zone.

Texts exist in English and Russian. Who reads another language gets English, with English dates: a sentence in two
languages helps nobody. The Russian texts avoid verbs whose form depends on whether a person is a man or a woman.
"""
# ruff: noqa: RUF001, RUF002  # texts in Russian; dashes between times

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_name
from babel.lists import format_list

DEFAULT_LANGUAGE = "en"

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "invitation": "{actor} invited you to “{title}”: {when}.",
        "update": "“{title}” changed: {fields}.",
        "reschedule": "“{title}” now starts {new} (before: {old}).",
        "reschedule of the end": "“{title}” now ends {new} (before: {old}).",
        "cancellation": "“{title}” was cancelled ({when}).",
        "restoration": "“{title}” takes place after all: {when}.",
        "removal": "You no longer take part in “{title}” ({when}).",
        "accepted": "{actor} accepted “{title}”.",
        "declined": "{actor} declined “{title}”.",
        "tentative": "{actor} may come to “{title}”.",
        "needs_action": "{actor} took back the answer to “{title}”.",
        "waiting": "{actor} accepted “{title}”, which is full, and waits for a place.",
        "place passed on": "The place goes to {promoted}.",
        "promotion": "A place has become free, and it is yours: you take part in “{title}” ({when}).",
        "somebody": "Somebody",
    },
    "ru": {
        "invitation": "{actor} приглашает вас на «{title}»: {when}.",
        "update": "В событии «{title}» изменено: {fields}.",
        "reschedule": "Событие «{title}» перенесено. Новое начало: {new} (прежнее: {old}).",
        "reschedule of the end": "У события «{title}» новое окончание: {new} (прежнее: {old}).",
        "cancellation": "Событие «{title}» отменено ({when}).",
        "restoration": "Событие «{title}» всё-таки состоится: {when}.",
        "removal": "Вы больше не участвуете в событии «{title}» ({when}).",
        "accepted": "{actor} принимает приглашение на «{title}».",
        "declined": "{actor} отклоняет приглашение на «{title}».",
        "tentative": "{actor}, возможно, примет участие в событии «{title}».",
        "needs_action": "{actor} отзывает свой ответ на приглашение на «{title}».",
        "waiting": "{actor} принимает приглашение на «{title}» и ждёт места: свободных нет.",
        "place passed on": "Место переходит к следующему в очереди: {promoted}.",
        "promotion": "Освободилось место, и оно ваше: вы участвуете в событии «{title}» ({when}).",
        "somebody": "Кто-то",
    },
}

FIELDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "title",
        "description": "description",
        "location": "location",
        "url": "link",
        "status": "status",
        "reminders": "reminders",
        "capacity": "capacity",
        "recurrence": "repetition",
        "": "details",
    },
    "ru": {
        "title": "название",
        "description": "описание",
        "location": "место",
        "url": "ссылка",
        "status": "статус",
        "reminders": "напоминания",
        "capacity": "число мест",
        "recurrence": "повторение",
        "": "подробности",
    },
}


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a sentence is: a language and region (BCP 47) and a zone (IANA)."""

    locale: str
    time_zone: str


@lru_cache(maxsize=256)
def locale_of(tag: str) -> Locale:
    """The closest locale that there are texts for: `ru-KZ` keeps its region, `de` becomes English, as nonsense does."""
    try:
        locale = Locale.parse(tag.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError):
        return Locale(DEFAULT_LANGUAGE)
    return locale if locale.language in TEXTS else Locale(DEFAULT_LANGUAGE)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def instant(time: Mapping[str, str]) -> date | datetime:
    """What a time of the API (`{"date_time", "time_zone"}` or `{"date"}`) means: an instant in UTC, or a date.

    Where the zone skips or repeats a wall time, Python's `fold=0` means what RFC 5545 §3.3.5 says.
    """
    if "date" in time:
        return date.fromisoformat(time["date"])
    return datetime.fromisoformat(time["date_time"]).replace(tzinfo=_zone(time["time_zone"])).astimezone(UTC)


@lru_cache(maxsize=4096)  # a change is told to many readers, few of whom differ in this
def when(time: date | datetime, reader: Reader) -> str:
    """`Sunday, March 29, 2026, 9:00 AM`, or without the time for a whole day."""
    locale = locale_of(reader.locale)
    if not isinstance(time, datetime):
        return format_date(time, "full", locale)
    local = time.astimezone(_zone(reader.time_zone))
    return f"{format_date(local, 'full', locale)}, {format_time(local, 'short', locale=locale)}"


@lru_cache(maxsize=4096)
def period(start: date | datetime, end: date | datetime, *, reader: Reader) -> str:
    """From when to when, with the zone: `… 9:00 AM – 10:00 AM (Central European Summer Time)`.

    For whole days, whose `end` is the day after the last, the first and the last.
    """
    if not isinstance(end, datetime):
        last = end - timedelta(days=1)
        return when(start, reader) if last <= start else f"{when(start, reader)} – {when(last, reader)}"
    if not isinstance(start, datetime):
        raise TypeError("a period is of two dates or of two times")
    locale, zone = locale_of(reader.locale), _zone(reader.time_zone)
    first, last_moment = start.astimezone(zone), end.astimezone(zone)
    if first.date() == last_moment.date():
        until = format_time(last_moment, "short", locale=locale)
    else:
        until = when(end, reader)
    name = get_timezone_name(first, width="long", locale=locale)
    return f"{when(start, reader)} – {until} ({name})"


def topic(kind: str, diff: Mapping[str, Any]) -> str:
    """What a notification is about, where its kind is wider than that: an update may be the reader's promotion."""
    return "promotion" if kind == "update" and "waiting" in diff else kind


def summary(
    kind: str, title: str, start: date | datetime, actor: str | None, diff: Mapping[str, Any], *, reader: Reader
) -> str:
    """The sentence for a notification of `kind` about an event that starts at `start` (a date: the whole day).

    `diff` is the change's own: `{"field": [old, new]}` with values as the API shows them.
    """
    locale = locale_of(reader.locale)
    texts, names = TEXTS[locale.language], FIELDS[locale.language]
    values = {"actor": actor or texts["somebody"], "title": title, "when": when(start, reader)}
    kind = topic(kind, diff)
    if kind == "response":
        return _answer(diff, texts, values)
    if kind == "reschedule":
        moved = "start" if "start" in diff else "end"
        values |= {name: when(instant(time), reader) for name, time in zip(("old", "new"), diff[moved], strict=True)}
        kind = "reschedule" if moved == "start" else "reschedule of the end"
    elif kind == "update":
        known = [names[field] for field in diff if field in names]
        values["fields"] = format_list(known or [names[""]], locale=locale)
    return texts[kind].format_map(values)


def _answer(diff: Mapping[str, Any], texts: Mapping[str, str], values: Mapping[str, str]) -> str:
    waits = diff.get("waiting", [False, False])[1]
    said = texts["waiting" if waits else diff["response"][1]].format_map(values)
    if "promoted" not in diff:
        return said
    return f"{said} {texts['place passed on'].format(promoted=diff['promoted'][1])}"
