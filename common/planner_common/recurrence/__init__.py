"""When events take place again (RFC 5545): rules read and checked, occurrences computed, series split.

recurrence = Recurrence.read(["RRULE:FREQ=WEEKLY;BYDAY=MO"], start, end)     raises RecurrenceError
Series(start, end, recurrence).between(begin, until)                         yields Occurrence
"""

from planner_common.recurrence.faults import RecurrenceError
from planner_common.recurrence.recurrences import Recurrence
from planner_common.recurrence.series import MAX_SPAN, Occurrence, Override, Series
from planner_common.recurrence.splitting import split

__all__ = ["MAX_SPAN", "Occurrence", "Override", "Recurrence", "RecurrenceError", "Series", "split"]
