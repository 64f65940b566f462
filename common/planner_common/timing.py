"""When a delivery may leave: quiet hours, and the moments at which digests go out."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planner_common.deliveries import Reason

WHOLE_DAY_LASTS = timedelta(hours=12)
"""A whole day ends at midnight in UTC; for people in the west it goes on that much longer."""
DAILY_AT = time(8)
"""When daily digests go out, by the reader's clock."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person wants of one channel's times."""

    time_zone: str
    quiet_from: time | None = None
    quiet_to: time | None = None
    digest: str = "none"


def quiet_until(now: datetime, wishes: Wishes) -> datetime | None:
    """When the quiet hours that `now` lies in end, in UTC; None outside of them. They may span midnight."""
    if wishes.quiet_from is None or wishes.quiet_to is None or wishes.quiet_from == wishes.quiet_to:
        return None
    zone = ZoneInfo(wishes.time_zone)
    local = now.astimezone(zone)
    wall = local.time()
    if wishes.quiet_from < wishes.quiet_to:
        quiet = wishes.quiet_from <= wall < wishes.quiet_to
    else:
        quiet = wall >= wishes.quiet_from or wall < wishes.quiet_to
    return _next(now, wishes.quiet_to, zone) if quiet else None


def next_digest(now: datetime, wishes: Wishes) -> datetime | None:
    """When the next digest leaves, in UTC: at the next full hour, or at `DAILY_AT`. None where there are none."""
    if wishes.digest == "hourly":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    if wishes.digest == "daily":
        return _next(now, DAILY_AT, ZoneInfo(wishes.time_zone))
    return None


def _next(now: datetime, wall: time, zone: ZoneInfo) -> datetime:
    """The next instant, after `now`, at which clocks in the zone show this time."""
    local = now.astimezone(zone)
    found = datetime.combine(local.date(), wall, zone).astimezone(UTC)
    if found <= now:
        found = datetime.combine(local.date() + timedelta(days=1), wall, zone).astimezone(UTC)
    return found


def held_until(
    now: datetime, wishes: Wishes, starts_at: datetime | None, *, digested: bool
) -> tuple[datetime, Reason] | None:
    """Until when a delivery waits, and why; None: it may go now.

    Nothing waits that would come too late: if the event starts before the waiting would end, it goes at once.
    `digested`: it has waited for its digest already.
    """
    found: tuple[datetime, Reason] | None = None
    if not digested and (digest := next_digest(now, wishes)) is not None:
        found = digest, Reason.DIGEST
    at = found[0] if found else now
    if (quiet := quiet_until(at, wishes)) is not None:
        found = quiet, found[1] if found else Reason.QUIET_HOURS
    if found and starts_at is not None and now < starts_at <= found[0]:
        return None
    return found
