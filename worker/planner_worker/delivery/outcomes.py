"""What becomes of a delivery by the result of a try."""

import random
from datetime import datetime, timedelta

from planner_common.deliveries import Outcome, Reason, State
from planner_common.settings import Settings

from planner_worker.channels import ANSWER_LIMIT, Limits, Result
from planner_worker.delivery.claims import Recorded
from planner_worker.delivery.facts import Facts

LONGEST_ASKED_SECONDS = 86_400
"""The longest that another side's Retry-After is heeded."""


class Outcomes:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def too_old(self, facts: Facts, limits: Limits) -> bool:
        return facts.now - facts.queued_at > timedelta(hours=limits.hours)

    def of(self, facts: Facts, result: Result, limits: Limits, now: datetime, seconds: float) -> Recorded:
        """`now` by PostgreSQL's clock; `seconds` that the try took."""
        state, reason, due_at = self._fate(facts, result, limits, now)
        return Recorded(
            id=facts.id,
            claims=facts.claims,
            state=state,
            reason=reason,
            due_at=due_at,
            revision=facts.event_revision if state is State.SENT else None,
            outcome=result.outcome,
            status=result.status,
            detail=result.detail[:ANSWER_LIMIT].replace("\0", "�") if result.detail else None,
            milliseconds=round(seconds * 1000),
        )

    def _fate(
        self, facts: Facts, result: Result, limits: Limits, now: datetime
    ) -> tuple[State, Reason | None, datetime | None]:
        if result.outcome is Outcome.ACCEPTED:
            return State.SENT, None, None
        if result.outcome is Outcome.REFUSED:
            return State.DEAD, Reason.REFUSED, None
        if facts.tries + 1 >= limits.tries:
            return State.DEAD, Reason.TRIES, None
        due_at = now + timedelta(seconds=self.pause(facts.tries, result.retry_after))
        if due_at - facts.queued_at > timedelta(hours=limits.hours):
            return State.DEAD, Reason.AGE, None
        return State.FAILED, Reason.RETRY, due_at

    def pause(self, tries: int, asked: float | None) -> float:
        """Seconds until the next try, with `tries` before this one: exponential, with full jitter, and no less than the
        other side asked for.
        """
        longest = min(self._settings.retry_cap_seconds, self._settings.retry_base_seconds * 2 ** min(tries, 30))
        return max(random.uniform(0, longest), min(asked or 0.0, LONGEST_ASKED_SECONDS))  # noqa: S311  # jitter
