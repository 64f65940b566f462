"""The recurrence of an event: taken in one form, and along when the event moves."""

from dataclasses import replace

from planner_common.recurrence import Recurrence, RecurrenceError

from planner_api.errors import Problem, invalid
from planner_api.events.state import State


def checked(state: State) -> State:
    """With its recurrence in one form. 422 at the line at fault."""
    if not state.recurrence:
        return state
    try:
        recurrence = Recurrence.read(state.recurrence, state.start, state.end)
    except RecurrenceError as error:
        raise refused(error) from None
    return replace(state, recurrence=tuple(recurrence.lines(state.start.zone)))


def following(old: State, new: State) -> State:
    """When the start moves, the dates of the recurrence do, too: what was left out stays left out."""
    try:
        moved = old.series().recurrence.moved(old.start, new.start)
    except RecurrenceError as error:
        raise refused(error) from None
    return replace(new, recurrence=tuple(moved.lines(new.start.zone)))


def refused(error: RecurrenceError) -> Problem:
    return invalid("/recurrence" if error.line is None else f"/recurrence/{error.line}", str(error))
