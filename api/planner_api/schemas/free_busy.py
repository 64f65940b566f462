"""Bodies of free/busy: who is asked about which time, and what comes back of it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args
from uuid import UUID

from planner_common.people import person_id
from pydantic import Field, ValidationInfo, field_validator

from planner_api.free_busy.asking import Occupied
from planner_api.free_busy.intervals import Busy, BusyType
from planner_api.free_busy.suggesting import Search, WorkingHours
from planner_api.schemas.common import EmailAddress, In, Instant, Out
from planner_api.schemas.preferences import WallClock
from planner_api.schemas.times import InstantIn, fault

MAX_PEOPLE = 50
LONGEST = timedelta(days=62)
"""Of a range: two months, whichever they are."""
LOOKED_BACK = timedelta(days=31)
"""Further back nobody plans; and what is long over costs as much to look up as there is of it."""
MAX_SLOTS = 20

Day = Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
"""As RFC 5545 §3.3.10 has them."""
DAYS: tuple[Day, ...] = get_args(Day)
Minutes = Annotated[int, Field(strict=True, ge=5, le=7 * 24 * 60)]


class Range(In):
    from_: Annotated[InstantIn, Field(alias="from", description=f"At most {LOOKED_BACK.days} days ago.")]
    to: Annotated[InstantIn, Field(description=f"After `from`, by {LONGEST.days} days at most.")]

    @field_validator("from_")
    @classmethod
    def is_not_long_ago(cls, from_: datetime) -> datetime:
        if from_ < datetime.now(UTC) - LOOKED_BACK:
            raise fault(f"must not be more than {LOOKED_BACK.days} days ago")
        return from_.astimezone(UTC)

    @field_validator("to")
    @classmethod
    def ends_in_time(cls, to: datetime, info: ValidationInfo) -> datetime:
        if "from_" in info.data and not timedelta() < to - info.data["from_"] <= LONGEST:
            raise fault(f"must be after `from`, by {LONGEST.days} days at most")
        return to.astimezone(UTC)


class FreeBusyIn(Range):
    people: Annotated[
        list[EmailAddress],
        Field(min_length=1, max_length=MAX_PEOPLE, description="Their addresses. Who is named twice is asked once."),
    ]


class BusyOut(Out):
    starts_at: Instant
    ends_at: Instant
    type: BusyType

    @classmethod
    def of(cls, busy: Busy) -> "BusyOut":
        return cls(starts_at=busy.start, ends_at=busy.end, type=busy.type)


class PersonFreeBusy(Out):
    email: str
    state: Literal["known", "unknown"] = Field(
        description="`unknown`: you may not ask, or there is no account with this address. Which one is not told."
    )
    busy: list[BusyOut] = Field(description="In order, without overlaps, within the range that was asked about.")


class FreeBusyOut(Out):
    people: list[PersonFreeBusy] = Field(description="As they were named.")


class WorkingHoursIn(In):
    """By the clocks of each person's own zone. What does not end after it starts ends on the next day."""

    from_: Annotated[WallClock, Field(alias="from")]
    to: WallClock
    days: Annotated[list[Day], Field(min_length=1, max_length=len(DAYS))] = Field(
        default_factory=lambda: list(DAYS[:5]),
        description="On which days they start; from Monday to Friday unless named.",
    )

    def hours(self) -> WorkingHours:
        return WorkingHours(self.from_, self.to, frozenset(DAYS.index(day) for day in self.days))


class SuggestIn(Range):
    required: Annotated[
        list[EmailAddress], Field(min_length=1, max_length=MAX_PEOPLE, description="Who has to be free. Yourself?")
    ]
    optional: Annotated[
        list[EmailAddress],
        Field(max_length=MAX_PEOPLE, description=f"Who is counted. With the required, up to {MAX_PEOPLE}."),
    ] = Field(default_factory=list)
    duration_minutes: Minutes
    step_minutes: Annotated[Minutes, Field(description="Slots start at `from`, or whole steps after it.")] = 15
    working_hours: Annotated[
        WorkingHoursIn | None, Field(description="Outside of them nobody is free. Without them: at any hour.")
    ] = None
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_SLOTS, description="How many slots at most.")] = 5

    @field_validator("optional")
    @classmethod
    def are_few_enough(cls, optional: list[str], info: ValidationInfo) -> list[str]:
        if len(optional) + len(info.data.get("required", ())) > MAX_PEOPLE:
            raise fault(f"must be at most {MAX_PEOPLE} people, with those required")
        return optional

    def search(self) -> Search:
        return Search(
            begin=self.from_,
            end=self.to,
            duration=timedelta(minutes=self.duration_minutes),
            step=timedelta(minutes=self.step_minutes),
            hours=self.working_hours.hours() if self.working_hours else None,
            not_before=datetime.now(UTC),
        )


class SlotOut(Out):
    starts_at: Instant
    ends_at: Instant
    optional_free: int = Field(description="How many of the optional are free. Who is unknown is not counted.")


class Suggestions(Out):
    slots: list[SlotOut] = Field(description="The first ones in which all who are required and known are free.")
    unknown: list[str] = Field(
        description="Whom you may not ask, or who has no account: whether they are free is not considered."
    )


class Conflict(Out):
    event_id: UUID
    starts_at: Instant
    ends_at: Instant
    type: BusyType

    @classmethod
    def of(cls, one: Occupied) -> "Conflict":
        return cls(event_id=one.event_id, **BusyOut.of(one.busy).model_dump())


class Conflicts(Out):
    items: list[Conflict] = Field(description="The first 20.")


def people(emails: Iterable[str]) -> dict[str, UUID]:
    """Everybody once, by address, in the order in which they are named."""
    return {email: person_id(email) for email in emails}
