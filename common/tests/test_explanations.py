"""Every word has its sentence, in both languages."""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest
from planner_common import explanations
from planner_common.deliveries import Reason, State
from planner_common.explanations import BELONGS, NOTES, PRIVATE, REASONS, STATES, UNTAKEN, WHY, Untaken, Why, reason_of
from planner_common.summaries import TEXTS, Reader

ENGLISH, RUSSIAN = Reader("en", "Europe/Berlin"), Reader("ru", "Europe/Moscow")
LATER = datetime(2099, 3, 29, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sentences", "words"),
    [(STATES, State), (REASONS, Reason), (UNTAKEN, Untaken), (WHY, Why)],
    ids=lambda it: str(it)[:9],
)
def test_none_is_missing(sentences: dict[str, dict[StrEnum, str]], words: type[StrEnum]) -> None:
    assert sentences.keys() == TEXTS.keys()
    for language, those in sentences.items():
        assert set(those) == set(words), language
        assert len(set(those.values())) == len(words), "two of them say the same"
        assert all(sentence.endswith(".") for sentence in those.values())


def test_notes_are_the_same_in_all_languages() -> None:
    assert {language: notes.keys() for language, notes in NOTES.items()} == dict.fromkeys(TEXTS, NOTES["en"].keys())


@pytest.mark.parametrize("sentences", [STATES, REASONS, UNTAKEN, WHY, NOTES])
def test_the_languages_are_not_mixed(sentences: dict[str, dict[str, str]]) -> None:
    for sentence in sentences["en"].values():
        assert not re.search("[\u0400-\u04ff]", sentence), sentence
    for sentence in sentences["ru"].values():
        assert re.search("[\u0400-\u04ff]", sentence), sentence
    for word, sentence in sentences["en"].items():
        assert re.findall("{.*?}", sentence) == re.findall("{.*?}", sentences["ru"][word])


def test_every_reason_belongs_to_a_state() -> None:
    assert BELONGS.keys() == set(State)
    assert frozenset().union(*BELONGS.values()) == set(Reason)
    assert all(reason in Reason for reason in PRIVATE)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("reader", [ENGLISH, RUSSIAN])
def test_every_reason_is_told(reason: Reason, reader: Reader) -> None:
    [state, *_] = [state for state, those in BELONGS.items() if reason in those]
    sentence = explanations.delivery(state, reason, reader=reader, due_at=LATER)
    assert sentence != STATES[reader.locale][state]
    assert "{" not in sentence


def test_until_when_is_told_in_the_readers_language_and_zone() -> None:
    assert explanations.delivery(State.PENDING, Reason.QUIET_HOURS, reader=ENGLISH, due_at=LATER) == (
        "It waits for the end of the quiet hours: Sunday, March 29, 2099, 9:00\u202fAM."
    )
    told = explanations.delivery(State.PENDING, Reason.QUIET_HOURS, reader=RUSSIAN, due_at=LATER)
    assert told == "Сообщение ждёт окончания тихих часов: воскресенье, 29 марта 2099\u202fг., 10:00."  # noqa: RUF001


def test_what_has_waited_long_enough_waits_no_more() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    told = explanations.delivery(State.PENDING, Reason.QUIET_HOURS, reader=ENGLISH, due_at=past)
    assert told == STATES["en"][State.PENDING]


def test_what_superseded_it_and_what_nobody_knows_is_told() -> None:
    told = explanations.delivery(
        State.SUPERSEDED, Reason.CANCELLED, reader=ENGLISH, superseded_by=7, outcome_unknown=True
    )
    assert told == (
        "It was not sent: the event was cancelled in the meantime. See revision 7. "
        "At one of the tries the answer was lost, so it may have arrived then."
    )


def test_an_earlier_states_reason_is_none() -> None:
    assert reason_of(State.SENT, Reason.RETRY) is None
    assert reason_of(State.DEAD, Reason.RETRY) is None
    assert reason_of(State.PENDING, "a word of a later version") is None
    assert reason_of(State.FAILED, "retry") is Reason.RETRY


def test_other_languages_read_english() -> None:
    assert explanations.language(Reader("de-AT", "UTC")) == "en"
    assert explanations.language(Reader("ru-KZ", "UTC")) == "ru"
