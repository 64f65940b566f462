"""Bodies of imports."""

from pydantic import Field

from planner_api.schemas.common import Out


class FailedEvent(Out):
    uid: str = Field(description="Its UID or, where it has none, one made of what it says.")
    detail: str


class ImportResult(Out):
    created: int
    updated: int
    unchanged: int
    failed: list[FailedEvent] = Field(description="What makes no sense as an event. The rest of the file was imported.")
