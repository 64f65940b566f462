"""When an event takes place again: its rule, the dates added to it and those taken out (RFC 5545 §3.8.5)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

from planner_common.moments import Moment
from planner_common.recurrence.faults import RecurrenceError
from planner_common.recurrence.periods import Periods
from planner_common.recurrence.rules import Rule
from planner_common.recurrence.times import LAST, read, written
from planner_common.zones import named

MAX_LINES = 100
MAX_LENGTH = 20_000
MAX_DATES = 1_000
"""Dates in all RDATE and EXDATE lines together."""
MAX_DAYS = 366
"""How long an event that repeats may last."""
MAX_PERIODS, MAX_YEARS = 5_000, 100
"""How far a rule is followed to find its first occurrence after the start, or that of its COUNT."""
DAY = timedelta(days=1)
LINE = re.compile(r'([A-Za-z-]+)((?:;[^:;="]+=(?:"[^"]*"|[^:;"]*))*):(.*)', re.DOTALL)
PARAMETER = re.compile(r';([^=]+)=(?:"([^"]*)"|([^:;"]*))')


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`added` and `removed` are wall times in the zone of the event's start, in order."""

    rule: Rule | None = None
    added: tuple[datetime, ...] = ()
    removed: tuple[datetime, ...] = ()

    @classmethod
    def read(cls, lines: Sequence[str], start: Moment, end: Moment) -> "Recurrence":
        """`RRULE:…`, `RDATE…:…` and `EXDATE…:…` of an event that starts and ends then. Raises RecurrenceError."""
        if len(lines) > MAX_LINES:
            raise RecurrenceError(f"at most {MAX_LINES} lines; RDATE and EXDATE take several dates, between commas")
        rules: list[Rule] = []
        dates: dict[str, set[datetime]] = {"RDATE": set(), "EXDATE": set()}
        for index, line in enumerate(lines):
            try:
                name, parameters, value = _parts(line)
                if name == "RRULE":
                    rules.append(Rule.read(value, start))
                    _followed(rules[-1], start.wall)
                else:
                    dates[name].update(_dates(name, parameters, value, start))
                _limited(len(rules), sum(map(len, dates.values())))
            except RecurrenceError as error:
                raise RecurrenceError(str(error), index) from None
        if lines and not (rules or dates["RDATE"]):
            raise RecurrenceError("EXDATE alone takes dates out of nothing: add RRULE or RDATE, or send no line", 0)
        if lines and abs(end.instant - start.instant) > timedelta(days=MAX_DAYS):
            raise RecurrenceError(f"an event that repeats lasts at most {MAX_DAYS} days")
        return cls(rules[0] if rules else None, *(tuple(sorted(dates[name])) for name in ("RDATE", "EXDATE")))

    def __bool__(self) -> bool:
        return self.rule is not None or bool(self.added)

    def lines(self, zone: str | None) -> list[str]:
        """As `read` takes them, each thing in one way. `zone` is the start's."""
        parameters = ";VALUE=DATE" if zone is None else "" if zone == "UTC" else f";TZID={zone}"
        dates = {"RDATE": self.added, "EXDATE": self.removed}
        rule = [f"RRULE:{self.rule.written(zone)}"] if self.rule else []
        return rule + [
            f"{name}{parameters}:{','.join(written(wall, zone) for wall in walls)}"
            for name, walls in dates.items()
            if walls
        ]

    def walls(self, start: Moment, after: datetime, before: datetime) -> Iterator[datetime]:
        """The wall times within [after, before) at which an event that starts then takes place: in order, each once."""
        previous = None
        removed = set(self.removed)
        for wall in merge(self.of_rule(start, after, before), (wall for wall in self.added if after <= wall < before)):
            if wall != previous and wall not in removed:
                yield wall
            previous = wall

    def of_rule(self, start: Moment, after: datetime, before: datetime) -> Iterator[datetime]:
        """Those of the rule; the start is always the first of them, whether the rule names it or not (§3.8.5.3)."""
        if after <= start.wall < before:
            yield start.wall
        rule = self.rule
        if rule is None:
            return
        last = self.last_of_rule(start)
        for wall in Periods(rule, start.wall).walls(
            max(after, start.wall), min(before, last + DAY) if last else before
        ):
            if rule.count is not None and last is not None and wall > last:
                return
            if wall > start.wall and (rule.until is None or Moment(wall, start.zone).instant <= rule.until):
                yield wall

    def last_of_rule(self, start: Moment) -> datetime | None:
        """A wall time after which the rule has no occurrence: with COUNT the last itself. None: it has no end."""
        if self.rule is None:
            return start.wall
        if self.rule.count is not None:
            return _counted(self.rule, start.wall)
        return self.rule.until and local(self.rule.until, start.zone)

    def moved(self, start: Moment, to: Moment) -> "Recurrence":
        """When the start moves, what is said in dates moves along, and UNTIL keeps the last occurrence in.

        Raises RecurrenceError where that leads out of what can be written.
        """

        def shifted(wall: datetime) -> datetime:
            try:
                return to.wall + (wall - start.wall)
            except OverflowError as error:
                raise RecurrenceError(
                    f"{written(wall, '')} would move along with the start, to a year there is not"
                ) from error

        rule = self.rule
        if rule and rule.until:
            until = shifted(local(rule.until, start.zone))
            rule = replace(
                rule,
                until=Moment(until.replace(hour=0, minute=0, second=0) if to.zone is None else until, to.zone).instant,
            )
        return Recurrence(rule, tuple(map(shifted, self.added)), tuple(map(shifted, self.removed)))


def local(instant: datetime, zone: str | None) -> datetime:
    return instant.astimezone(UTC if zone is None else ZoneInfo(zone)).replace(tzinfo=None)


def _limited(rules: int, dates: int) -> None:
    if rules > 1:
        raise RecurrenceError("a second RRULE: RFC 5545 leaves open what two mean; make it an event of its own")
    if dates > MAX_DATES:
        raise RecurrenceError(f"RDATE and EXDATE name more than {MAX_DATES} dates")


def _parts(line: str) -> tuple[str, dict[str, str], str]:
    """Name, parameters and value of a line."""
    match = LINE.fullmatch(line.strip()) if len(line) <= MAX_LENGTH else None
    if match is None:
        raise RecurrenceError(f"write RRULE:…, RDATE:… or EXDATE:…, up to {MAX_LENGTH} characters")
    name, value = match[1].upper(), match[3].strip()
    if name == "EXRULE":
        raise RecurrenceError("EXRULE is gone from iCalendar: name the dates with EXDATE")
    if name not in {"RRULE", "RDATE", "EXDATE"}:
        raise RecurrenceError(f"{name[:20]} is none of RRULE, RDATE, EXDATE; the event's start is in `start`")
    return name, {key.upper(): quoted or plain for key, quoted, plain in PARAMETER.findall(match[2])}, value


def _dates(name: str, parameters: dict[str, str], value: str, start: Moment) -> Iterator[datetime]:
    """Wall times in the zone of the start."""
    kind = parameters.get("VALUE", "").upper()
    if kind == "PERIOD" or "/" in value:
        raise RecurrenceError(
            f"{name} with periods is not taken: name the start alone, and change that occurrence's end"
        )
    if kind not in {"", "DATE", "DATE-TIME"}:
        raise RecurrenceError(f"{name} with VALUE={kind[:20]}: it takes DATE and DATE-TIME")
    zone = named(parameters["TZID"]) if "TZID" in parameters else start.zone
    if zone is None and start.zone is not None:
        raise RecurrenceError(
            f"{name} has the unknown TZID {parameters['TZID'][:60]}: use an IANA zone, such as Europe/Berlin"
        )
    for text in value.strip(",").split(","):
        wall, is_date, is_utc = read(text.strip(), name)
        if is_date is not (start.zone is None):
            form = "a date, such as 20260330" if start.zone is None else "a time, such as 20260330T090000"
            raise RecurrenceError(f"{name} has {text.strip()}: it needs {form}, as the event's start has")
        if start.zone is None or start.zone == ("UTC" if is_utc else zone):
            yield wall
            continue
        moment = Moment.at(Moment(wall, "UTC" if is_utc else zone).instant, start.zone)
        if moment.zone != start.zone:
            raise RecurrenceError(
                f"{name} has {text.strip()}: in {start.zone} that hour comes twice, and this is the second"
            )
        yield moment.wall


def _horizon(periods: Periods) -> datetime:
    """A time that is far enough away not to look any further."""
    years = datetime(min(periods.start.year + MAX_YEARS, LAST.year), 1, 1)  # noqa: DTZ001  # wall time
    return datetime.fromordinal(min(periods.begin(MAX_PERIODS), years.toordinal()))


def _followed(rule: Rule, start: datetime) -> None:
    """Refuses what would be looked for in vain."""
    if rule.count is not None:
        _counted(rule, start)
        return
    periods = Periods(rule, start)
    if all(wall == start for wall in islice(periods.walls(start, _horizon(periods)), 2)):
        raise RecurrenceError(
            f"the rule has no occurrence after the start within {MAX_YEARS} years or {MAX_PERIODS} times its interval:"
            " its parts contradict each other, or say what a rarer FREQ should"
        )


@lru_cache(maxsize=4096)
def _counted(rule: Rule, start: datetime) -> datetime:
    """The last occurrence of a rule with COUNT. The start counts as its first (§3.3.10)."""
    if rule.count == 1:
        return start
    periods = Periods(rule, start)
    later = (wall for wall in periods.walls(start, _horizon(periods)) if wall > start)
    last = next(islice(later, (rule.count or 0) - 2, None), None)
    if last is None:
        raise RecurrenceError(
            f"COUNT={rule.count} is not reached within {MAX_YEARS} years or {MAX_PERIODS} times the rule's interval:"
            " lower it, or use UNTIL"
        )
    return last
