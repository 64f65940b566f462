"""Bringing the events of a file into an account: by UID, so that the same file again changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.calendars import feeds
from planner_api.calendars import writing as files
from planner_api.calendars.components import recurrence, significant, without_people
from planner_api.calendars.exporting import Exported, Zones
from planner_api.calendars.reading import Entry
from planner_api.errors import Problem
from planner_api.events import people, writing
from planner_api.events.people import Person, distinct
from planner_api.events.reading import EVENT
from planner_api.events.recording import Author
from planner_api.events.state import State, difference
from planner_api.events.writing import NewEvent, Update
from planner_api.turns import taking_turns

# Two imports of one account would both find a UID missing and both insert it.
ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
THERE = text(f"""
    SELECT {EVENT}, e.source FROM events e
     WHERE e.organizer_id = :account AND e.uid = ANY(CAST(:uids AS text[])) AND e.deleted_at IS NULL
     ORDER BY e.id FOR UPDATE
""")


@dataclass(slots=True)
class Plan:
    """What an import will write."""

    new: list[NewEvent] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    people: dict[UUID, list[Person]] = field(default_factory=dict)


async def save(
    connection: AsyncConnection, entries: Sequence[Entry], invited: Sequence[Person], author: Author
) -> tuple[int, int, int]:
    """Write the entries, with `invited` in each of them, and say how many were created, updated and left alone.

    Who is in an event already stays: an import adds people and takes nobody out. 409 while another import of the
    account is under way.
    """
    if not (await connection.execute(ONE_AT_A_TIME, {"key": f"import {author.account_id}"})).scalar_one():
        raise Problem(409, "in-progress", "An import is in progress", "Another import of this account is under way.")
    uids = [entry.uid for entry in entries]
    rows = (await connection.execute(THERE, {"account": author.account_id, "uids": uids})).mappings()
    there = {row["uid"]: row for row in rows}
    newer = [
        there[entry.uid]["id"]
        async for entry in taking_turns(entries)
        if entry.uid in there and not _repeats(there[entry.uid]["source"], entry)
    ]
    _, exported = await feeds.some(connection, author.account_id, author.person_id, newer, people=0)
    ours = {event.id: event for event in exported}
    plan = Plan()
    async for entry in taking_turns(entries):
        row = there.get(entry.uid)
        _plan(plan, entry, row, invited, ours.get(row["id"]) if row is not None else None)
    # An invitation to what is cancelled would only confuse.
    for cancelled, by in ((False, author), (True, replace(author, notify=False))):
        if new := [event for event in plan.new if (event.state.status == "cancelled") is cancelled]:
            await writing.create(connection, new, by)
    if plan.updates:
        await writing.update(connection, plan.updates, author)
    joined = await people.invite(connection, plan.people, author) if plan.people else {}
    updated = len(joined.keys() | {update.id for update in plan.updates})
    return len(plan.new), updated, len(entries) - len(plan.new) - updated


def _repeats(source: str | None, entry: Entry) -> bool:
    """Whether a file says the same as last time: then it leaves alone what was changed here since."""
    return source is not None and significant(source) == significant(entry.source)


def _plan(plan: Plan, entry: Entry, row: RowMapping | None, invited: Sequence[Person], ours: Exported | None) -> None:
    """`ours`: the event as Planner gives it out, unless the file repeats itself."""
    those = distinct([*entry.people, *invited])
    if row is None:
        plan.new.append(NewEvent(entry.state, those, entry.uid, entry.source))
        return
    state = State.of(row)
    if ours is not None and (update := _update(row, state, entry, ours)) is not None:
        plan.updates.append(update)
        state = update.state
    if those and state.status != "cancelled":
        plan.people[row["id"]] = those


def _update(row: RowMapping, old: State, entry: Entry, ours: Exported) -> Update | None:
    """What a file changes in an event, or None: if it says what Planner itself would say, but for who is in it. One
    that says something else is newer, and wins."""
    source: str | None = row["source"]
    given_out = "\r\n".join(files.components(ours, Zones()))
    if without_people(significant(given_out)) == without_people(significant(entry.source)):
        return None
    new = replace(entry.state, reminders=old.reminders, capacity=old.capacity, recurrence=old.recurrence)
    diff: dict[str, Any] = difference(old, new)
    rules = recurrence(source or ""), recurrence(entry.source)
    if rules[0] != rules[1]:
        diff["recurrence"] = list(rules)
    if source is None and not diff:
        return None
    if "status" in diff and "cancelled" in diff["status"]:
        kind = Kind.CANCELLATION if new.status == "cancelled" else Kind.RESTORATION
    else:
        kind = Kind.RESCHEDULE if {"start", "end"} & diff.keys() else Kind.UPDATE
    return Update(row["id"], kind, new, diff, entry.source)
