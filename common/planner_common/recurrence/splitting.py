"""A series in two: up to an occurrence, and from it on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from planner_common.moments import Moment
from planner_common.recurrence.faults import RecurrenceError
from planner_common.recurrence.recurrences import Recurrence


def split(recurrence: Recurrence, start: Moment, at: datetime) -> tuple[Recurrence, Recurrence]:
    """The recurrence of the event that starts at `start` and ends before `at`, and of the one that starts at `at`.

    Together they have the occurrences that there were, each once. `at` is an occurrence's wall time in the zone of the
    start; one that RDATE added has no place in the rule, which cannot begin there. Raises RecurrenceError.
    """
    if at == start.wall:
        raise RecurrenceError("this is the first occurrence: change the whole series")
    next_second = at + timedelta(seconds=1)
    if next(recurrence.walls(start, at, next_second), None) is None:
        raise RecurrenceError("the series has no occurrence then: list its occurrences and take one's original start")
    before = Recurrence(recurrence.rule, *_dates(recurrence, lambda wall: wall < at))
    after = Recurrence(recurrence.rule, *_dates(recurrence, lambda wall: wall > at))
    rule = recurrence.rule
    if rule is None:
        return before, after
    if next(recurrence.of_rule(start, at, next_second), None) is None:
        raise RecurrenceError("this occurrence was added by RDATE and is not in the rule: change it alone")
    if rule.count is None:
        gap = timedelta(days=1) if start.zone is None else timedelta(seconds=1)
        return replace(before, rule=replace(rule, until=Moment(at, start.zone).instant - gap)), after
    passed = sum(1 for _ in recurrence.of_rule(start, start.wall, at))
    return (
        replace(before, rule=replace(rule, count=passed)),
        replace(after, rule=replace(rule, count=rule.count - passed)),
    )


def _dates(
    recurrence: Recurrence, kept: Callable[[datetime], bool]
) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
    return tuple(filter(kept, recurrence.added)), tuple(filter(kept, recurrence.removed))
