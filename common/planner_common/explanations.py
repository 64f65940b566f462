"""Why somebody did, or didn't, get a message: for each word of the machinery a sentence in the reader's language.

The sentences speak of the message and of the channel, not of a «you», so that they are right for the person it was for
and for the organizer who asks about others. English and Russian, as in `summaries`.
"""
# ruff: noqa: RUF001  # texts in Russian

from datetime import UTC, datetime
from enum import StrEnum

from planner_common.deliveries import Reason, State
from planner_common.summaries import Reader, locale_of, when


class Untaken(StrEnum):
    """Why a channel did not take a notification: there is no delivery."""

    MUTED = "muted"
    NOT_WANTED = "not_wanted"
    DEFAULT = "default"
    """This kind goes to no channel unless that is asked for."""
    EMAIL_OFF = "email_off"
    NOT_YET = "not_yet"
    """The channel was set up later."""
    NOT_VERIFIED = "not_verified"
    PAUSED = "paused"
    DISABLED = "disabled"
    OFF = "off"
    """It was to take nothing at that time."""
    PRUNED = "pruned"
    """It took it so long ago that what became of it is not kept any more."""
    NOT_RECORDED = "not_recorded"
    """It should have taken it, and nothing says what became of that."""


class Why(StrEnum):
    """What made somebody one of those who are told."""

    INVITED = "invited"
    REMOVED = "removed"
    PROMOTED = "promoted"
    PARTICIPANT = "participant"
    ORGANIZER = "organizer"


class Discreet(StrEnum):
    """What an organizer is told of others where the reason is how these have set up their messages."""

    OWN_CHOICE = "own_choice"


PRIVATE = frozenset({Reason.QUIET_HOURS, Reason.DIGEST, Reason.NOT_WANTED, Reason.MUTED})
"""Reasons that would tell an organizer how others have set up their messages."""

STATES: dict[str, dict[State, str]] = {
    "en": {
        State.PENDING: "It is about to be sent.",
        State.FAILED: "The last try failed; another one follows.",
        State.SENT: "It was sent.",
        State.DEAD: "It was given up.",
        State.SUPERSEDED: "It was not sent, since it no longer mattered.",
    },
    "ru": {
        State.PENDING: "Сообщение вот-вот будет отправлено.",
        State.FAILED: "Последняя попытка не удалась; будет ещё одна.",
        State.SENT: "Сообщение отправлено.",
        State.DEAD: "Попытки доставить сообщение прекращены.",
        State.SUPERSEDED: "Сообщение не отправлено: оно потеряло значение.",
    },
}

REASONS: dict[str, dict[Reason, str]] = {
    "en": {
        Reason.QUIET_HOURS: "It waits for the end of the quiet hours: {until}.",
        Reason.DIGEST: "It waits for the next digest: {until}.",
        Reason.PACE: "It waits its turn: the destination takes only so many messages per second.",
        Reason.BREAKER: "It waits until {until}: the destination failed several times in a row and is left alone.",
        Reason.RETRY: "The last try failed; the next one is due {until}.",
        Reason.REFUSED: "It was given up: the other side refused it for good.",
        Reason.TRIES: "It was given up after as many tries as this channel allows.",
        Reason.AGE: "It was given up: it could not be delivered for too long.",
        Reason.QUARANTINED: "It was kept back: Planner was restored from a backup, and it may have been sent before.",
        Reason.CANCELLED: "It was not sent: the event was cancelled in the meantime.",
        Reason.RESTORED: "It was not sent: the event was no longer cancelled.",
        Reason.CHANGED_AGAIN: "It was not sent: what it says was changed again, which is told by a later message.",
        Reason.ALREADY_TOLD: "It was not sent: an earlier message, sent late, told this already.",
        Reason.REMOVED: "It was not sent: the person was no longer in the event.",
        Reason.BACK: "It was not sent: the person was in the event again.",
        Reason.ANSWERED: "It was not sent: the invitation had been answered already.",
        Reason.ANSWERED_AGAIN: "It was not sent: the answer had been changed again.",
        Reason.OVER: "It was not sent: the event was over.",
        Reason.DELETED: "It was not sent: the event was deleted.",
        Reason.CHANNEL_GONE: "It was not sent: the channel was no longer in use.",
        Reason.NOT_WANTED: "It was not sent: this kind of message was no longer wanted on this channel.",
        Reason.MUTED: "It was not sent: the event was muted.",
    },
    "ru": {
        Reason.QUIET_HOURS: "Сообщение ждёт окончания тихих часов: {until}.",
        Reason.DIGEST: "Сообщение ждёт следующей сводки: {until}.",
        Reason.PACE: "Сообщение ждёт очереди: получающая сторона принимает ограниченное число сообщений в секунду.",
        Reason.BREAKER: "Отправка отложена ({until}): у получающей стороны было несколько сбоев подряд.",
        Reason.RETRY: "Последняя попытка не удалась; следующая: {until}.",
        Reason.REFUSED: "Попытки прекращены: получающая сторона окончательно отказалась принять сообщение.",
        Reason.TRIES: "Попытки прекращены: их было столько, сколько допускает этот канал.",
        Reason.AGE: "Попытки прекращены: сообщение слишком долго не удавалось доставить.",
        Reason.QUARANTINED: "Сообщение придержано: Planner восстановлен из резервной копии, и оно могло уже уйти.",
        Reason.CANCELLED: "Сообщение не отправлено: событие тем временем отменили.",
        Reason.RESTORED: "Сообщение не отправлено: событие уже не было отменено.",
        Reason.CHANGED_AGAIN: "Сообщение не отправлено: всё это снова изменилось, о чём сказано в более позднем.",
        Reason.ALREADY_TOLD: "Сообщение не отправлено: об этом уже говорило более раннее, отправленное с опозданием.",
        Reason.REMOVED: "Сообщение не отправлено: получатель уже не участвовал в событии.",
        Reason.BACK: "Сообщение не отправлено: получатель снова участвовал в событии.",
        Reason.ANSWERED: "Сообщение не отправлено: на приглашение уже был дан ответ.",
        Reason.ANSWERED_AGAIN: "Сообщение не отправлено: ответ снова изменился.",
        Reason.OVER: "Сообщение не отправлено: событие уже закончилось.",
        Reason.DELETED: "Сообщение не отправлено: событие удалили.",
        Reason.CHANNEL_GONE: "Сообщение не отправлено: этот канал больше не использовался.",
        Reason.NOT_WANTED: "Сообщение не отправлено: такие сообщения на этом канале стали не нужны.",
        Reason.MUTED: "Сообщение не отправлено: уведомления о событии отключили.",
    },
}

UNTAKEN: dict[str, dict[Untaken, str]] = {
    "en": {
        Untaken.MUTED: "The event was muted.",
        Untaken.NOT_WANTED: "This kind of message was not wanted on this channel.",
        Untaken.DEFAULT: "This kind of message is shown in Planner only, unless it is asked for.",
        Untaken.EMAIL_OFF: "This Planner did not send e-mail.",
        Untaken.NOT_YET: "The channel was set up later.",
        Untaken.NOT_VERIFIED: "The channel was not verified.",
        Untaken.PAUSED: "The channel was paused.",
        Untaken.DISABLED: "The channel was disabled, since the other side had said that it was gone.",
        Untaken.OFF: "The channel took no messages at that time.",
        Untaken.PRUNED: "That was so long ago that what became of it on this channel is no longer kept.",
        Untaken.NOT_RECORDED: "The channel should have taken it, but nothing is recorded of that.",
    },
    "ru": {
        Untaken.MUTED: "Уведомления о событии были отключены.",
        Untaken.NOT_WANTED: "Такие сообщения на этом канале не были нужны.",
        Untaken.DEFAULT: "Такие сообщения видны только в Planner, если не попросить иного.",
        Untaken.EMAIL_OFF: "Этот Planner не отправлял электронную почту.",
        Untaken.NOT_YET: "Канал добавлен позже.",
        Untaken.NOT_VERIFIED: "Канал не был подтверждён.",
        Untaken.PAUSED: "Канал был приостановлен.",
        Untaken.DISABLED: "Канал был отключён: получающая сторона сообщила, что его больше нет.",
        Untaken.OFF: "В это время канал не принимал сообщений.",
        Untaken.PRUNED: "Это было так давно, что сведения об отправке по этому каналу уже не хранятся.",
        Untaken.NOT_RECORDED: "Канал должен был принять сообщение, но записи об этом нет.",
    },
}

WHY: dict[str, dict[Why, str]] = {
    "en": {
        Why.INVITED: "You were added to the event.",
        Why.REMOVED: "You were taken out of the event.",
        Why.PROMOTED: "You were waiting for a place in the event, and got one.",
        Why.PARTICIPANT: "You took part in the event when it changed.",
        Why.ORGANIZER: "You organize the event.",
    },
    "ru": {
        Why.INVITED: "Вас добавили в событие.",
        Why.REMOVED: "Вы больше не среди участников события.",
        Why.PROMOTED: "Вы ждали места в событии, и оно нашлось.",
        Why.PARTICIPANT: "Вы были среди участников события, когда оно изменилось.",
        Why.ORGANIZER: "Вы организуете это событие.",
    },
}

NOTES: dict[str, dict[str, str]] = {
    "en": {
        "unknown": "At one of the tries the answer was lost, so it may have arrived then.",
        "by": "See revision {revision}.",
        "approved": "It reached so many people that an administrator had to approve it first.",
        "held": "It reaches so many people that an administrator has to approve it first; nobody was told yet.",
        "rejected": "It would have reached so many people that an administrator had to approve it, and did not.",
        "own_choice": "It is in Planner, but on no channel, by their own choice.",
        "own_choice_waits": "It waits until this person wants to be told, by their own choice.",
        "own_choice_unsent": "It was not sent, by their own choice.",
        "mine_only": "It is in Planner, but on none of your channels; explain says why.",
        "pruned": "That was so long ago that what left Planner, and by which channels, is no longer kept.",
        "email_off": "It is in Planner only: this Planner did not send e-mail.",
    },
    "ru": {
        "unknown": "При одной из попыток ответ потерялся, поэтому сообщение могло дойти уже тогда.",
        "by": "См. версию {revision}.",
        "approved": "Об этом сообщается очень многим, поэтому сначала требовалось одобрение администратора.",
        "held": "Об этом сообщается очень многим, поэтому сначала требуется одобрение администратора; пока никому не "
        "сообщено.",
        "rejected": "Об этом сообщили бы очень многим, поэтому требовалось одобрение администратора; его не было.",
        "own_choice": "Уведомление есть в Planner, но ни на одном канале: так решил получатель.",
        "own_choice_waits": "Сообщение ждёт времени, которое выбрал получатель.",
        "own_choice_unsent": "Сообщение не отправлено: так решил получатель.",
        "mine_only": "Уведомление есть в Planner, но ни на одном из ваших каналов; почему, говорит explain.",
        "pruned": "Это было так давно, что сведения о том, что и по каким каналам было отправлено, уже не хранятся.",
        "email_off": "Уведомление есть только в Planner: этот Planner не отправлял электронную почту.",
    },
}

WAITING = (State.PENDING, State.FAILED)
BELONGS: dict[State, frozenset[Reason]] = {
    State.DEAD: frozenset({Reason.REFUSED, Reason.TRIES, Reason.AGE, Reason.QUARANTINED}),
    State.PENDING: frozenset({Reason.QUIET_HOURS, Reason.DIGEST, Reason.PACE, Reason.BREAKER, Reason.RETRY}),
}
BELONGS[State.FAILED] = BELONGS[State.PENDING]
BELONGS[State.SUPERSEDED] = frozenset(Reason) - BELONGS[State.DEAD] - BELONGS[State.PENDING]
BELONGS[State.SENT] = frozenset()


def reason_of(state: State, reason: str | None) -> Reason | None:
    """The reason for being in this state; None where there is none, or it is an earlier state's."""
    return next((found for found in BELONGS[state] if found == reason), None)


def language(reader: Reader) -> str:
    return locale_of(reader.locale).language


def note(name: str, reader: Reader, **values: object) -> str:
    return NOTES[language(reader)][name].format_map(values)


def delivery(
    state: State,
    reason: Reason | None,
    *,
    reader: Reader,
    due_at: datetime | None = None,
    superseded_by: int | None = None,
    outcome_unknown: bool = False,
) -> str:
    """What became of a delivery, or what it waits for. `superseded_by`: a revision of the event."""
    tongue = language(reader)
    text = STATES[tongue][state] if reason is None else REASONS[tongue][reason]
    if "{until}" in text:
        # What is over is no reason any more: the dispatcher only has not come to it yet.
        waits = due_at is not None and due_at > datetime.now(UTC)
        text = text.format(until=when(due_at, reader)) if waits and due_at is not None else STATES[tongue][state]
    parts = [text]
    if state == State.SUPERSEDED and superseded_by is not None:
        parts.append(note("by", reader, revision=superseded_by))
    if outcome_unknown:
        parts.append(note("unknown", reader))
    return " ".join(parts)
