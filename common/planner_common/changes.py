"""The change log: what kinds of change there are, and who is told of each.

A row of `changes` is written in the transaction that changes its event. It is the history people read, the outbox the
dispatcher empties and what the audit recomputes the notifications from.
"""

from enum import StrEnum


class Kind(StrEnum):
    """What happened to an event. Who is told is `AUDIENCE`'s matter."""

    CREATION = "creation"
    """The event exists; its first participants are invited."""
    INVITATION = "invitation"
    """Participants were added."""
    UPDATE = "update"
    """Something but the time changed."""
    RESCHEDULE = "reschedule"
    """The time changed, and perhaps more."""
    CANCELLATION = "cancellation"
    RESTORATION = "restoration"
    """A cancelled event takes place after all."""
    REMOVAL = "removal"
    """Participants were taken out; only they are told."""
    RESPONSE = "response"
    """A participant answered; the organizer is told."""
    PROMOTION = "promotion"
    """A place became free, and those who waited for it longest have it; only they are told."""
    DELETION = "deletion"
    """The event is gone from its lists. Nobody is told: a due cancellation is a change of its own before it."""


TOLD_OTHERWISE: dict[str, str] = {Kind.CREATION: "invitation", Kind.PROMOTION: "update"}
"""Kinds of change that the API has no kind of notification for, by the one that they are told as."""


def told_as(kind: str) -> str:
    """The `kind` of the notifications that a change of this kind causes, as the API names it."""
    return TOLD_OTHERWISE.get(kind, kind)


# Who is told, as SELECTs over `due`, a relation with the columns (id, event_id, kind, actor, notify) of changes. A
# person may come twice (an organizer who takes part), so whoever inserts from it says ON CONFLICT DO NOTHING. Never the
# actor: they know. An interval of change ids says who was in the event at the time of the change, so that an old change
# can still be told to the right people: since_change < change < until_change, all of the same event, whose changes its
# row lock puts in the order of their commits.
AUDIENCE = """
    SELECT due.id AS change_id, p.person_id
      FROM due JOIN participants p ON p.event_id = due.event_id AND p.since_change = due.id
     WHERE due.notify AND due.kind IN ('creation', 'invitation') AND p.person_id IS DISTINCT FROM due.actor
    UNION ALL
    SELECT due.id, p.person_id
      FROM due JOIN participants p ON p.event_id = due.event_id AND p.since_change < due.id
       AND (p.until_change IS NULL OR p.until_change > due.id)
     WHERE due.notify AND due.kind IN ('update', 'reschedule', 'cancellation', 'restoration')
       AND p.person_id IS DISTINCT FROM due.actor
    UNION ALL
    SELECT due.id, p.person_id
      FROM due JOIN participants p ON p.until_change = due.id
     WHERE due.notify AND due.kind = 'removal' AND p.person_id IS DISTINCT FROM due.actor
    UNION ALL
    SELECT due.id, p.person_id
      FROM due JOIN promotions p ON p.change_id = due.id
     WHERE due.notify AND due.kind = 'promotion' AND p.person_id IS DISTINCT FROM due.actor
    UNION ALL
    SELECT due.id, a.person_id
      FROM due JOIN events e ON e.id = due.event_id JOIN accounts a ON a.id = e.organizer_id
     WHERE due.notify AND due.kind IN ('update', 'reschedule', 'cancellation', 'restoration', 'response')
       AND a.person_id IS DISTINCT FROM due.actor
"""
