"""Whether a delivery still matters, and whether now is its time: decided by the present, right before it is sent."""

from dataclasses import dataclass
from datetime import datetime

from planner_common.changes import Kind
from planner_common.deliveries import DEFAULT_KINDS, Purpose, Reason
from planner_common.summaries import topic
from planner_common.timing import WHOLE_DAY_LASTS, Wishes, held_until

from planner_worker.delivery.facts import Facts

INVITATION, CANCELLATION, REMOVAL, RESPONSE = Kind.INVITATION, Kind.CANCELLATION, Kind.REMOVAL, Kind.RESPONSE


@dataclass(frozen=True, slots=True)
class Superseded:
    """Not to be sent any more."""

    reason: Reason
    by: int | None = None
    """The change that made it so."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """Not to be sent yet."""

    until: datetime
    reason: Reason


def verdict(facts: Facts, *, email_on: bool) -> Superseded | PutOff | None:
    """What becomes of a delivery; None: it may be sent now. `email_on`: a mail server is set up here."""
    if facts.purpose != Purpose.NOTIFICATION:
        return None if _asked_for(facts, email_on=email_on) else Superseded(Reason.CHANNEL_GONE)
    return _closed(facts, email_on=email_on) or _stale(facts) or _early(facts)


def _reachable(facts: Facts, *, email_on: bool) -> bool:
    if facts.closed or (facts.type == "email" and not email_on):
        return False
    return facts.has_channel or (facts.channel_id == facts.person_id and facts.email is not None)


def _asked_for(facts: Facts, *, email_on: bool) -> bool:
    """Whether a code is still waited for, or a test goes to a channel that is verified."""
    if not _reachable(facts, email_on=email_on):
        return False
    if facts.purpose == Purpose.CODE:
        return facts.verified_at is None and facts.code_expires_at is not None and facts.code_expires_at > facts.now
    return not facts.has_channel or facts.verified_at is not None


def _closed(facts: Facts, *, email_on: bool) -> Superseded | None:
    """What the person has decided about the channel since."""
    if not _reachable(facts, email_on=email_on) or (facts.has_channel and facts.verified_at is None):
        return Superseded(Reason.CHANNEL_GONE)
    if facts.muted:
        return Superseded(Reason.MUTED)
    default = () if facts.has_channel else DEFAULT_KINDS
    if facts.kind not in (facts.wanted if facts.wanted is not None else default):
        return Superseded(Reason.NOT_WANTED)
    return None


def _stale(facts: Facts) -> Superseded | None:
    """What has happened to the event, or to the person in it, since the change."""
    by = {entry.kind: entry.id for entry in facts.later}  # the last of each kind
    found: Superseded | None = None
    if facts.kind == CANCELLATION:
        if facts.status != "cancelled":
            found = Superseded(Reason.RESTORED, by.get(Kind.RESTORATION))
    elif facts.kind == REMOVAL:
        if facts.inside:
            found = Superseded(Reason.BACK, by.get(Kind.INVITATION))
    elif facts.deleted:
        found = Superseded(Reason.DELETED, by.get(Kind.DELETION))
    elif facts.status == "cancelled":
        found = Superseded(Reason.CANCELLED, by.get(Kind.CANCELLATION))
    else:
        found = _pointless(facts)
    return found or _over(facts)


def _pointless(facts: Facts) -> Superseded | None:
    """The event takes place; what would this news of it still tell its reader?"""
    if facts.kind == RESPONSE:
        diff = facts.diff or {}
        given = "waiting" if diff.get("waiting", [None, None])[1] else diff.get("response", [None, None])[1]
        return Superseded(Reason.ANSWERED_AGAIN) if given != facts.answer else None
    if not facts.inside and not facts.organizes:
        return Superseded(Reason.REMOVED)
    if facts.kind == INVITATION:
        answered = facts.response not in (None, "needs_action")
        return Superseded(Reason.ANSWERED) if answered else None
    if topic(facts.kind or "", facts.diff or {}) == Kind.PROMOTION:
        return Superseded(Reason.ANSWERED_AGAIN) if facts.response != "accepted" else None
    return _told_otherwise(facts) if facts.kind in (Kind.UPDATE, Kind.RESCHEDULE) else None


def _told_otherwise(facts: Facts) -> Superseded | None:
    """News of an update or a reschedule may have been shown by an earlier message, or be told by a later one."""
    if facts.told_revision is not None and facts.revision is not None and facts.told_revision >= facts.revision:
        return Superseded(Reason.ALREADY_TOLD)
    left = set(facts.diff or {})
    by = None
    for entry in facts.later:
        tells = entry.told and entry.actor != facts.person_id and entry.kind in (Kind.UPDATE, Kind.RESCHEDULE)
        if tells and left & entry.fields:
            left -= entry.fields
            by = entry.id
    return Superseded(Reason.CHANGED_AGAIN, by) if by is not None and not left else None


def _over(facts: Facts) -> Superseded | None:
    over_at = facts.over_at
    if over_at is not None and facts.all_day:
        over_at += WHOLE_DAY_LASTS
    return Superseded(Reason.OVER) if over_at is not None and over_at < facts.now else None


def _early(facts: Facts) -> PutOff | None:
    """Quiet hours and digests. A message that has been tried already goes on being tried, but not at night."""
    wishes = Wishes(facts.time_zone, facts.quiet_from, facts.quiet_to, facts.digest_wish)
    found = held_until(facts.now, wishes, facts.starts_at, digested=facts.digest or facts.tries > 0)
    return PutOff(*found) if found else None
