"""People, channels and deliveries made by SQL: what the API and the workers leave in the tables."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from planner_common.models import channels, mutes, routes
from planner_common.sealing import Sealer
from planner_common.settings import Settings
from sqlalchemy import Connection, insert
from sqlalchemy.sql.schema import Table

from api.tests.conftest import Join, Person
from common.tests.domain import Domain

SECRETS = {"url": "https://hooks.example.com/s3cr3t-path?key=s3cr3t-key", "secrets": ["whsec_s3cr3t"], "code": "s3cr3t"}
"""What a channel's address may hold, and no answer."""
ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)

Channel = Callable[..., UUID]


@pytest.fixture
def carl(join: Join) -> Person:
    """A stranger."""
    return join("Carl")


@pytest.fixture
def root(join: Join) -> Person:
    """An admin, who is a stranger to every event."""
    return join("Root", admin=True)


@pytest.fixture
def domain(connection: Connection) -> Domain:
    return Domain(connection)


class Wishes:
    """What people have set up, written as the API writes it."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.sealed = Sealer(settings.encryption_keys).seal(SECRETS)

    def insert(self, table: Table, **values: Any) -> UUID:
        made: UUID = self.connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one()
        return made

    def channel(self, person: Person, name: str = "Pager", type: str = "webhook", **columns: Any) -> UUID:  # noqa: A002
        values = {"person_id": person.person_id, "type": type, "name": name, "address": self.sealed}
        return self.insert(channels, **values | {"created_at": ALWAYS, "verified_at": ALWAYS} | columns)

    def route(self, person: Person, channel: UUID, *kinds: str, **columns: Any) -> UUID:
        own = channel == person.person_id
        values = {"person_id": person.person_id, "channel_id": channel, "type": "email" if own else "webhook"}
        return self.insert(routes, **values | {"kinds": list(kinds), "since": ALWAYS} | columns)

    def mute(self, person: Person, event: UUID, **columns: Any) -> UUID:
        return self.insert(mutes, person_id=person.person_id, event_id=event, **{"since": ALWAYS} | columns)


@pytest.fixture
def wishes(connection: Connection, settings: Settings) -> Wishes:
    return Wishes(connection, settings)
