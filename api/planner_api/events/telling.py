"""Who was told what of an event: the statement of `GET /events/{id}/deliveries`, a page at a time, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from planner_common import explanations
from planner_common.changes import Kind
from planner_common.deliveries import PRUNED, TOLD_AS, State
from planner_common.explanations import PRIVATE, Discreet
from planner_common.held import HELD, REJECTED
from planner_common.people import person_id
from planner_common.summaries import Reader
from sqlalchemy import TextClause, text

from planner_api.explaining import sentence
from planner_api.schemas.deliveries import DeliveryOut, PersonDeliveries, PersonTold

# Whom changes `c` were told to. Of all, and of those who have a delivery in a state that most end in, only as many of a
# change's people are read as a page has, however many there are.
BEFORE = """
    {person} < CASE WHEN c.revision = :before_revision THEN CAST(:before_person AS uuid)
                    ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END
"""
ALL = f"""
    SELECT n.person_id FROM notifications n
     WHERE n.change_id = c.id AND {BEFORE.format(person="n.person_id")} {{person}}
     ORDER BY n.person_id DESC LIMIT :limit
"""
IN_STATE = f"""
    SELECT DISTINCT d.person_id FROM deliveries d
     WHERE d.change_id = c.id AND d.state = '{{state}}' AND {BEFORE.format(person="d.person_id")} {{person}}
     ORDER BY d.person_id DESC LIMIT :limit
"""
EACH = "changes c LEFT JOIN LATERAL ({told}) told ON true"
# States that few are in: they are found first, by an index of those alone or by their changes, whichever is shorter.
RARE = {State.PENDING: "d.finished_at IS NULL", State.FAILED: "d.finished_at IS NULL", State.DEAD: "true"}
IN_RARE_STATE = """
    changes c JOIN (
        SELECT DISTINCT d.change_id, d.person_id FROM deliveries d
         WHERE d.state = '{state}' AND {among} {person}
           AND d.change_id IN (SELECT id FROM changes WHERE event_id = :event)
    ) told ON told.change_id = c.id AND (c.revision < :before_revision OR told.person_id < :before_person)
"""
NOBODY = "SELECT CAST(NULL AS uuid) AS person_id WHERE false"
KEPT_BACK = f"({HELD}) OR ({REJECTED})"
# Nobody is told of a deletion, held or not.
UNTOLD = f"({{which}}) AND c.kind <> '{Kind.DELETION}' AND c.revision < :before_revision"

# Who has left the event is looked for only where they are not in it (again), and do not organize it.
PAGE = f"""
    WITH page AS MATERIALIZED (
        SELECT c.id AS change_id, c.revision, {TOLD_AS} AS kind, c.at, c.email_on, told.person_id,
               {PRUNED} AS pruned,
               CASE WHEN {HELD} THEN c.held_at END AS held_at, CASE WHEN {REJECTED} THEN c.decided_at END AS rejected_at
          FROM {{told}}
         WHERE c.event_id = :event AND c.revision <= :before_revision {{revision}}
           AND (told.person_id IS NOT NULL {{untold}})
         ORDER BY c.revision DESC, told.person_id DESC LIMIT :limit
    )
    SELECT page.*, n.created_at AS told_at, reader.locale, reader.time_zone, page.person_id = reader.person_id AS mine,
           CASE WHEN page.person_id = reader.person_id THEN reader.email ELSE COALESCE(guest.email, gone.email) END
               AS email,
           CASE WHEN page.person_id = reader.person_id THEN reader.name ELSE COALESCE(guest.name, gone.name) END
               AS name,
           d.id, d.type, d.state, d.reason, d.outcome_unknown, d.due_at, d.finished_at, by.revision AS superseded_by,
           tried.attempts, tried.last_status
      FROM page
      JOIN events e ON e.id = :event
      JOIN accounts reader ON reader.id = e.organizer_id
      LEFT JOIN notifications n ON n.change_id = page.change_id AND n.person_id = page.person_id
      LEFT JOIN participants guest
        ON guest.event_id = e.id AND guest.person_id = page.person_id AND guest.until_change IS NULL
      LEFT JOIN LATERAL (
          SELECT p.email, p.name FROM participants p
           WHERE guest.id IS NULL AND page.person_id <> reader.person_id
             AND p.event_id = e.id AND p.person_id = page.person_id
           ORDER BY p.since_change DESC LIMIT 1
      ) gone ON true
      LEFT JOIN deliveries d ON d.change_id = page.change_id AND d.person_id = page.person_id
      LEFT JOIN changes by ON by.id = d.superseded_by
      LEFT JOIN LATERAL (
          SELECT count(*) AS attempts, (array_agg(a.status ORDER BY a.started_at DESC))[1] AS last_status
            FROM delivery_attempts a WHERE a.delivery_id IN (d.id, d.message_id)
      ) tried ON true
     ORDER BY page.revision DESC, page.person_id DESC, d.type, d.id
"""
LAST = 2**31 - 1
"""A revision that no event has reached."""
NONE = UUID(int=0)
"""Comes after everybody in a change, as a cursor has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an organizer wants to see."""

    state: str | None = None
    """`held`, or one of `deliveries.State`."""
    revision: int | None = None
    email: str | None = None
    before: tuple[int, UUID] = LAST, NONE

    def statement(self, event: UUID, limit: int) -> tuple[TextClause, dict[str, Any]]:
        values: dict[str, Any] = {"event": event, "limit": limit}
        values["before_revision"], values["before_person"] = self.before
        person = revision = ""
        if self.email is not None:
            person = "AND person_id = :person"
            values["person"] = person_id(self.email)
        if self.revision is not None:
            revision = "AND c.revision = :revision"
            values["revision"] = self.revision
        untold = ""
        if self.state is None:
            told = EACH.format(told=ALL.format(person=person))
            untold = "" if person else f"OR {UNTOLD.format(which=KEPT_BACK)}"
        elif self.state == "held":
            told = EACH.format(told=NOBODY)
            untold = f"OR {UNTOLD.format(which=HELD)}"
            del values["before_person"]
        elif (state := State(self.state)) in RARE:
            told = IN_RARE_STATE.format(state=state.value, among=RARE[state], person=person)
        else:
            told = EACH.format(told=IN_STATE.format(state=state.value, person=person))
        return text(PAGE.format(told=told, untold=untold, revision=revision)), values


def grouped(rows: Sequence[Mapping[Any, Any]]) -> list[tuple[tuple[int, str], PersonDeliveries]]:
    """Rows of the statement as the API shows them: an item for each change and person, after its place for cursors."""
    found = groupby(rows, key=lambda row: (row["revision"], str(row["person_id"] or NONE)))
    return [(place, shown(list(those))) for place, those in found]


def shown(rows: Sequence[Mapping[Any, Any]]) -> PersonDeliveries:
    first = rows[0]
    reader = Reader(first["locale"], first["time_zone"])
    deliveries = [delivery(row, reader) for row in rows if row["id"] is not None]
    person = None if first["person_id"] is None else PersonTold(email=first["email"], name=first["name"])
    return PersonDeliveries(
        revision=first["revision"],
        kind=first["kind"],
        changed_at=first["at"],
        person=person,
        told_at=first["told_at"],
        held_at=first["held_at"],
        rejected_at=first["rejected_at"],
        deliveries=deliveries,
        text=None if deliveries else explanations.note(_why_none(first), reader),
    )


def _why_none(row: Mapping[Any, Any]) -> str:
    if row["person_id"] is None:
        return "held" if row["held_at"] else "rejected"
    if row["pruned"]:
        return "pruned"
    if row["mine"]:
        return "mine_only"
    return "own_choice" if row["email_on"] else "email_off"


def delivery(row: Mapping[Any, Any], reader: Reader) -> DeliveryOut:
    """Nothing of it says how somebody else has set up their messages: not when they want them, nor of what."""
    state = State(row["state"])
    reason = explanations.reason_of(state, row["reason"])
    waits = row["finished_at"] is None
    discreet = reason in PRIVATE and not row["mine"]
    own_choice = "own_choice_waits" if waits else "own_choice_unsent"
    return DeliveryOut(
        type=row["type"],
        state=state,
        reason=Discreet.OWN_CHOICE if discreet else reason,
        text=explanations.note(own_choice, reader) if discreet else sentence(row, reader),
        superseded_by=row["superseded_by"],
        outcome_unknown=row["outcome_unknown"],
        attempts=row["attempts"],
        last_status=row["last_status"],
        due_at=row["due_at"] if waits and not discreet else None,
        finished_at=row["finished_at"],
    )
