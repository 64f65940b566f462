"""When something is: wall time in a zone, or a day."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from zoneinfo import ZoneInfo

FIRST_YEAR, LAST_YEAR = 2, 9998
"""A year short of what datetime holds at both ends: no zone's offset, and no day added, leads out of it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event starts or ends: wall time in an IANA zone or, without a zone, midnight of a whole day."""

    wall: datetime
    zone: str | None

    @classmethod
    def at(cls, instant: datetime, zone: str) -> Self:
        """An instant in a zone; in UTC where the zone's clocks show it for the second time."""
        moment = cls(instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None), zone)
        return moment if moment.instant == instant else cls(instant.astimezone(UTC).replace(tzinfo=None), "UTC")

    @property
    def instant(self) -> datetime:
        """In UTC; for a whole day its midnight there.

        `fold=0` is the rule of RFC 5545 §3.3.5: of a wall time that comes twice the first, and for one that the zone
        skips the offset from before the gap.
        """
        zone = UTC if self.zone is None else ZoneInfo(self.zone)
        return self.wall.replace(tzinfo=zone, fold=0).astimezone(UTC)

    def shown(self) -> dict[str, str]:
        """As the API shows it."""
        if self.zone is None:
            return {"date": self.wall.date().isoformat()}
        return {"date_time": self.wall.isoformat(timespec="seconds"), "time_zone": self.zone}
