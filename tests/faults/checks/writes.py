"""What clients were told is in the log of changes, once; and what is there, somebody asked for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from uuid import UUID

from tests.faults.checks import Violation
from tests.faults.evidence import Change, ClientWrite, Evidence, Held

LOST = "an acknowledged write is not there"
UNEXPECTED = "a change that nobody asked for, or that was made twice"
HALF = "a write that was done by half"
REFUSED = "a write was refused that is in order"
AUDIENCE = "not those told whom the client counted on"

IN_ORDER = (200, 404, 409, 412)
"""What a write may be answered that changes nothing: it was so already, or others were faster."""


def check(evidence: Evidence) -> Iterator[Violation]:
    held = evidence.held
    left = {change.id: change for change in held.changes.values()}
    revisions = {(change.event_id, change.revision): change for change in left.values()}
    for write in evidence.writes:
        if write.fate == "acknowledged" and write.revision is not None and not write.mute:
            yield from _by_revision(write, revisions, left, held)
    for write in evidence.writes:
        if write.fate == "acknowledged" and write.revision is None and not write.mute:
            yield from _by_kind(write, left, held)
    yield from _mutes(evidence)
    for write in evidence.writes:
        if write.fate == "refused" and write.status not in IN_ORDER:
            yield Violation(REFUSED, f"{write.id}: {write.status}")
    titles = {event.title: event.id for event in held.events.values()}
    for write in evidence.writes:
        if write.fate == "unknown" and not write.mute:
            yield from _perhaps(write, titles, left, held)
    for change in left.values():
        yield Violation(UNEXPECTED, f"{change.kind} {change.id}, revision {change.revision} of event {change.event_id}")


def _by_revision(
    write: ClientWrite, revisions: Mapping[tuple[UUID, int], Change], left: dict[int, Change], held: Held
) -> Iterator[Violation]:
    assert write.revision is not None
    first = write.revision - len(write.changes) + 1
    for place, (kind, told) in enumerate(write.changes):
        change = revisions.get((write.event, first + place)) if write.event else None
        if change is None or (change.kind, change.actor) != (kind, write.actor) or change.id not in left:
            found = f"there is {change.kind}" if change else "there is none"
            yield Violation(LOST, f"{write.id}: {kind}, revision {first + place} of event {write.event}: {found}")
            continue
        del left[change.id]
        yield from _told(write, told, change, held)


def _by_kind(write: ClientWrite, left: dict[int, Change], held: Held) -> Iterator[Violation]:
    """For answers that say no revision."""
    for kind, told in write.changes:
        those = [change for change in _of(write, kind, held) if change.id in left]
        if not those:
            yield Violation(LOST, f"{write.id}: {kind} of event {write.event}")
            continue
        change = next((change for change in those if held.due(change) == told), those[0])
        del left[change.id]
        yield from _told(write, told, change, held)


def _of(write: ClientWrite, kind: str, held: Held) -> list[Change]:
    changes = held.changes_of.get(write.event, []) if write.event else []
    return [change for change in changes if (change.kind, change.actor) == (kind, write.actor)]


def _told(write: ClientWrite, told: frozenset[object], change: Change, held: Held) -> Iterator[Violation]:
    due = held.due(change)
    if due != told:
        yield Violation(
            AUDIENCE, f"{write.id}: {change.kind} {change.id}: {len(told - due)} missing, {len(due - told)} extra"
        )


def _perhaps(
    write: ClientWrite, titles: Mapping[str, UUID], left: dict[int, Change], held: Held
) -> Iterator[Violation]:
    """A write without an answer may be there, once, and wholly."""
    if write.event is None:
        event = titles.get(f"Dinner {write.id}")
        those = [change for change in left.values() if change.event_id == event]
    else:
        those = [change for kind, _ in write.changes for change in _of(write, kind, held) if change.id in left]
    found = Counter(change.kind for change in those)
    there = [kind for kind, _ in write.changes if found[kind]]
    if there and len(there) < len(write.changes):
        yield Violation(HALF, f"{write.id}: {', '.join(there)} alone, of event {write.event}")
    for kind in there:
        del left[next(change.id for change in those if change.kind == kind)]


def _mutes(evidence: Evidence) -> Iterator[Violation]:
    there = {(mute.person_id, mute.event_id) for mute in evidence.held.mutes}
    for write in evidence.writes:
        if write.mute and write.fate == "acknowledged" and (write.actor, write.event) not in there:
            yield Violation(LOST, f"{write.id}: mute of event {write.event}")
