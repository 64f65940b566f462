# ruff: noqa: RUF001  # texts in Russian
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from planner_common.summaries import FIELDS, TEXTS, Reader, period, summary

START = datetime(2026, 3, 29, 7, tzinfo=UTC)
MOVED = {
    "start": [
        {"date_time": "2026-03-29T09:00:00", "time_zone": "Europe/Berlin"},
        {"date_time": "2026-03-30T16:30:00", "time_zone": "America/New_York"},
    ]
}


def said(kind: str, diff: dict[str, Any] | None = None, *, locale: str = "en", zone: str = "Europe/Berlin") -> str:
    sentence = summary(kind, "Standup", START, "Ann", diff or {}, reader=Reader(locale, zone))
    return sentence.replace("\u202f", " ").replace("\xa0", " ")  # the narrow spaces of CLDR


@pytest.mark.parametrize(
    ("kind", "diff", "english", "russian"),
    [
        (
            "invitation",
            {},
            "Ann invited you to “Standup”: Sunday, March 29, 2026, 9:00 AM.",
            "Ann приглашает вас на «Standup»: воскресенье, 29 марта 2026 г., 09:00.",
        ),
        (
            "update",
            {"title": ["a", "b"], "location": [None, "c"], "url": [None, "d"]},
            "“Standup” changed: title, location, and link.",
            "В событии «Standup» изменено: название, место и ссылка.",
        ),
        (
            "reschedule",
            MOVED,
            "“Standup” now starts Monday, March 30, 2026, 10:30 PM (before: Sunday, March 29, 2026, 9:00 AM).",
            (
                "Событие «Standup» перенесено. Новое начало: понедельник, 30 марта 2026 г., 22:30 "
                "(прежнее: воскресенье, 29 марта 2026 г., 09:00)."
            ),
        ),
        (
            "reschedule",
            {"end": [{"date": "2026-03-29"}, {"date": "2026-03-30"}]},
            "“Standup” now ends Monday, March 30, 2026 (before: Sunday, March 29, 2026).",
            (
                "У события «Standup» новое окончание: понедельник, 30 марта 2026 г. "
                "(прежнее: воскресенье, 29 марта 2026 г.)."
            ),
        ),
        (
            "cancellation",
            {"status": ["confirmed", "cancelled"]},
            "“Standup” was cancelled (Sunday, March 29, 2026, 9:00 AM).",
            "Событие «Standup» отменено (воскресенье, 29 марта 2026 г., 09:00).",
        ),
        (
            "restoration",
            {"status": ["cancelled", "confirmed"]},
            "“Standup” takes place after all: Sunday, March 29, 2026, 9:00 AM.",
            "Событие «Standup» всё-таки состоится: воскресенье, 29 марта 2026 г., 09:00.",
        ),
        (
            "removal",
            {"removed": ["ben@example.org"]},
            "You no longer take part in “Standup” (Sunday, March 29, 2026, 9:00 AM).",
            "Вы больше не участвуете в событии «Standup» (воскресенье, 29 марта 2026 г., 09:00).",
        ),
        (
            "response",
            {"response": ["needs_action", "tentative"]},
            "Ann may come to “Standup”.",
            "Ann, возможно, примет участие в событии «Standup».",
        ),
        (
            "response",
            {"response": ["needs_action", "tentative"], "waiting": [False, True]},
            "Ann accepted “Standup”, which is full, and waits for a place.",
            "Ann принимает приглашение на «Standup» и ждёт места: свободных нет.",
        ),
        (
            "response",
            {"response": ["tentative", "tentative"], "waiting": [True, False]},
            "Ann may come to “Standup”.",
            "Ann, возможно, примет участие в событии «Standup».",
        ),
        (
            "response",
            {"response": ["accepted", "declined"], "promoted": [None, "Ben"]},
            "Ann declined “Standup”. The place goes to Ben.",
            "Ann отклоняет приглашение на «Standup». Место переходит к следующему в очереди: Ben.",
        ),
        (
            "update",
            {"response": ["tentative", "accepted"], "waiting": [True, False], "participants": {"promoted": 1}},
            "A place has become free, and it is yours: you take part in “Standup” (Sunday, March 29, 2026, 9:00 AM).",
            (
                "Освободилось место, и оно ваше: вы участвуете в событии «Standup» "
                "(воскресенье, 29 марта 2026 г., 09:00)."
            ),
        ),
    ],
)
def test_a_sentence_for_each_kind(kind: str, diff: dict[str, Any], english: str, russian: str) -> None:
    assert said(kind, diff) == english
    assert said(kind, diff, locale="ru") == russian


@pytest.mark.parametrize("response", ["accepted", "declined", "tentative", "needs_action"])
def test_every_response_can_be_said(response: str) -> None:
    for locale in TEXTS:
        assert "Standup" in said("response", {"response": ["needs_action", response]}, locale=locale)


def test_times_are_in_the_zone_of_the_reader() -> None:
    assert "March 29, 2026, 4:00 PM" in said("invitation", zone="Asia/Tokyo")
    assert "March 28, 2026, 9:00 PM" in said("invitation", zone="Pacific/Honolulu")


def test_a_whole_day_has_no_time_and_no_zone() -> None:
    told = summary("invitation", "Fair", date(2026, 3, 29), "Ann", {}, reader=Reader("en", "Pacific/Honolulu"))
    assert told == "Ann invited you to “Fair”: Sunday, March 29, 2026."


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (
            START,
            START + timedelta(hours=1),
            "Sunday, March 29, 2026, 9:00 AM – 10:00 AM (Central European Summer Time)",
        ),
        (
            START,
            START + timedelta(hours=15),  # midnight there, the day after
            "Sunday, March 29, 2026, 9:00 AM – Monday, March 30, 2026, 12:00 AM (Central European Summer Time)",
        ),
        (START.date(), date(2026, 3, 30), "Sunday, March 29, 2026"),
        (START.date(), date(2026, 3, 31), "Sunday, March 29, 2026 – Monday, March 30, 2026"),
    ],
)
def test_from_when_to_when(start: date, end: date, said: str) -> None:
    told = period(start, end, reader=Reader("en", "Europe/Berlin"))
    assert told.replace("\u202f", " ") == said


@pytest.mark.parametrize(
    ("locale", "date_of_start"),
    [
        ("en-GB", "Sunday, 29 March 2026, 09:00"),
        ("ru-KZ", "воскресенье, 29 марта 2026 г., 09:00"),
        ("de-DE", "Sunday, March 29, 2026, 9:00 AM"),
        ("xx", "Sunday, March 29, 2026, 9:00 AM"),
        ("", "Sunday, March 29, 2026, 9:00 AM"),
    ],
)
def test_a_locale_without_texts_falls_back(locale: str, date_of_start: str) -> None:
    assert date_of_start in said("invitation", locale=locale)


def test_who_is_not_known_and_what_is_not_known_still_make_a_sentence() -> None:
    reader = Reader("ru", "No/Where")
    assert summary("invitation", "{x}", START, None, {}, reader=reader).startswith("Кто-то приглашает вас на «{x}»")
    assert summary("update", "x", START, None, {"new": [1, 2]}, reader=reader) == "В событии «x» изменено: подробности."


def test_all_languages_say_the_same_things() -> None:
    assert {frozenset(texts) for texts in TEXTS.values()} == {frozenset(TEXTS["en"])}
    assert {frozenset(names) for names in FIELDS.values()} == {frozenset(FIELDS["en"])}
