"""What the state of an event does not allow."""

from planner_api.errors import Problem


def cancelled() -> Problem:
    return Problem(409, "cancelled", "The event is cancelled", "The organizer would have to restore it first.")


def full(capacity: int, accepted: int) -> Problem:
    return Problem(409, "full", "The event is full", f"It has room for {capacity:,}, and {accepted:,} have accepted.")
