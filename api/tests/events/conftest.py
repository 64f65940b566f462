"""People, events and what the change log says of them."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from planner_common.changes import AUDIENCE
from planner_common.people import person_id
from sqlalchemy import Connection, text

EVENT = {
    "title": "Retrospective",
    "start": {"date_time": "2031-03-28T09:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-28T10:00:00", "time_zone": "Europe/Berlin"},
}

Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def ann(register: Callable[..., Awaitable[Any]]) -> Any:
    return await register("Ann")


@pytest.fixture
async def bob(register: Callable[..., Awaitable[Any]]) -> Any:
    return await register("Bob")


@pytest.fixture
async def carl(register: Callable[..., Awaitable[Any]]) -> Any:
    return await register("Carl")


@pytest.fixture
def make(ann: Any) -> Make:
    """`event = await make("bob@example.org", title="Lunch")`: an event of Ann's, with these people in it."""

    async def make(*people: str, **fields: Any) -> dict[str, Any]:
        body = EVENT | {"participants": [{"email": email} for email in people]} | fields
        made = await ann.post("/events", json=body)
        assert made.status_code == 201, made.text
        event: dict[str, Any] = made.json()
        return event

    return make


def login(app: FastAPI, connection: Connection, email: str) -> dict[str, str]:
    """An account made by SQL, for tests that need many, and the header by which it is known."""
    statement = text("""
        INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
        VALUES (:person, :email, :email, 'UTC', 'en', 'none') RETURNING id
    """)
    person = person_id(email)
    account = connection.execute(statement, {"person": person, "email": email}).scalar_one()
    return {"Authorization": f"Bearer {app.state.access_tokens.issue(account, person)}"}


class Log:
    """The change log of the test's database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def of(self, event: str) -> list[Any]:
        """The changes of an event, in their order."""
        statement = text("SELECT * FROM changes WHERE event_id = :event ORDER BY revision")
        return list(self.connection.execute(statement, {"event": UUID(event)}))

    def kinds(self, event: str) -> list[str]:
        return [change.kind for change in self.of(event)]

    def told(self, event: str, *people: str) -> list[tuple[str, set[str]]]:
        """Of each change its kind and who of `people` is told, as the fan-out will see it."""
        names = {person_id(email): email for email in people}
        statement = text(f"""
            WITH due AS (SELECT * FROM changes WHERE event_id = :event)
            SELECT due.id, due.kind, array_agg(DISTINCT audience.person_id) AS people
              FROM due LEFT JOIN ({AUDIENCE}) audience ON audience.change_id = due.id
             GROUP BY due.id, due.kind ORDER BY due.id
        """)
        rows = self.connection.execute(statement, {"event": UUID(event)})
        return [(row.kind, {names.get(person, str(person)) for person in row.people if person}) for row in rows]

    def count(self) -> int:
        return int(self.connection.execute(text("SELECT count(*) FROM changes")).scalar_one())


@pytest.fixture
def log(connection: Connection) -> Log:
    return Log(connection)
