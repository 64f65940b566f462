"""When people are busy, and when they can meet. What they are busy with is nobody's business."""

import asyncio
from typing import Literal
from uuid import UUID

from planner_api.dependencies import CallerDep, ConnectionDep, QuestionDep
from planner_api.errors import problems
from planner_api.events import reading
from planner_api.events.state import State
from planner_api.free_busy.asking import calendars
from planner_api.free_busy.conflicts import conflicts
from planner_api.free_busy.intervals import merged
from planner_api.free_busy.suggesting import suggest
from planner_api.routing import make_router
from planner_api.schemas.free_busy import (
    BusyOut,
    Conflict,
    Conflicts,
    FreeBusyIn,
    FreeBusyOut,
    PersonFreeBusy,
    SlotOut,
    SuggestIn,
    Suggestions,
    people,
)
from planner_api.turns import taking_turns

router = make_router("free/busy")


@router.post("/free-busy", responses=problems(400, 401, 403, 413, 415))
async def ask_free_busy(body: FreeBusyIn, caller: CallerDep, connection: QuestionDep) -> FreeBusyOut:
    """When people are busy: myself, and those I meet, unless they want it otherwise (`free_busy` of their preferences).

    Busy with what they organize or take part in and have not declined. `BUSY-TENTATIVE`: the event or their answer is
    tentative, or they have not answered. Whole days are days in their own zone.
    """
    asked = people(body.people)
    found = await calendars(connection, caller, asked.values(), body.from_, body.to)
    answers = []
    async for email, person in taking_turns(asked.items()):
        calendar = found.get(person)
        busy = merged(calendar.busy, body.from_, body.to) if calendar else []
        state: Literal["known", "unknown"] = "known" if calendar else "unknown"
        answers.append(PersonFreeBusy(email=email, state=state, busy=[BusyOut.of(one) for one in busy]))
    return FreeBusyOut(people=answers)


@router.post("/events/suggest", responses=problems(400, 401, 403, 413, 415))
async def suggest_slots(body: SuggestIn, caller: CallerDep, connection: QuestionDep) -> Suggestions:
    """The first slots, from now on, in which all who are required are free: neither busy, nor tentatively."""
    required = people(body.required)
    optional = {email: person for email, person in people(body.optional).items() if email not in required}
    asked = required | optional
    found = await calendars(connection, caller, asked.values(), body.from_, body.to)
    # With all that may be asked for it takes a tenth of a second, and is of one piece.
    slots = await asyncio.to_thread(
        suggest,
        [found[person] for person in required.values() if person in found],
        [found[person] for person in optional.values() if person in found],
        body.search(),
        body.limit,
    )
    return Suggestions(
        slots=[SlotOut(starts_at=one.start, ends_at=one.end, optional_free=one.optional_free) for one in slots],
        unknown=[email for email, person in asked.items() if person not in found],
    )


@router.get("/events/{event_id}/conflicts", responses=problems(401, 403, 404))
async def show_conflicts(event_id: UUID, caller: CallerDep, connection: ConnectionDep) -> Conflicts:
    """What else keeps me busy at the time of this event, from now on. Of a long event 62 days are looked at."""
    event = State.of(await reading.one(connection, event_id, caller))
    found = await conflicts(connection, caller, event.start, event.end, besides=event_id)
    return Conflicts(items=[Conflict.of(one) for one in found])
