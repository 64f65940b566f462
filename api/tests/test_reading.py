"""I6: a GET changes nothing, on any route. Scanners of mail, prefetching browsers and crawlers follow links."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from planner_common.models import metadata
from planner_common.sealing import Unsubscription
from sqlalchemy import Connection, text

from .conftest import Register

ENDLESS = {"/api/v1/notifications/stream"}
"""What goes on for as long as somebody listens; its tests are beside it. It holds a connection that only reads."""
REQUIRED = {"/api/v1/events/{event_id}/occurrences": "?from=2031-04-30T00:00:00Z&to=2031-06-01T00:00:00Z"}
"""Queries without which there is no answer."""
NOBODYS = str(UUID(int=7))


def snapshot(connection: Connection) -> dict[str, list[Any]]:
    """Every row of every table, with where and by which transaction it was written: that shows a rewritten one too."""
    tables = {}
    for name in metadata.tables:
        columns = [column.name for column in metadata.tables[name].primary_key]
        rows = connection.execute(
            text(f"SELECT ctid::text, xmin::text, t.* FROM {name} t ORDER BY {', '.join(columns)}")
        )
        tables[name] = [tuple(row) for row in rows]
    return tables


def addresses(app: FastAPI, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each route that answers GET or HEAD, with an address on it. An id that nobody knows stands for other nouns'."""
    for context in iter_route_contexts(app.routes):
        path = context.path_format
        assert path is not None
        methods = sorted({"GET", "HEAD"} & set(context.methods or ()))
        if path in ENDLESS:
            continue
        filled = path
        for name in context.param_convertors:
            filled = filled.replace(f"{{{name}}}", known.get(path, known.get(name, NOBODYS)))
        for method in methods:
            yield method, filled + REQUIRED.get(path, "")


async def test_a_get_changes_nothing(
    app: FastAPI, client: httpx.AsyncClient, register: Register, connection: Connection, subtests: pytest.Subtests
) -> None:
    ann = await register("Ann")
    connection.execute(text("UPDATE accounts SET admin = true"))
    event = {
        "title": "Dinner",
        "start": {"date": "2031-05-01"},
        "end": {"date": "2031-05-02"},
        "participants": [{"email": "ben@example.org"}],
    }
    event_id = (await ann.post("/events", json=event)).json()["id"]
    participant_id = (await ann.get(f"/events/{event_id}/participants")).json()["items"][0]["id"]
    hook = {"type": "webhook", "name": "Hook", "url": "https://hooks.example.com/in"}
    channel_id = (await ann.post("/me/channels", json=hook)).json()["id"]
    await ann.post("/me/tokens", json={"name": "script", "scopes": ["read"]})
    await ann.put(f"/events/{event_id}/mute")
    calendar = (await ann.post("/me/calendars", json={"name": "Phone"})).json()["url"]
    notification = connection.execute(
        text("INSERT INTO notifications (change_id, person_id) SELECT id, :person FROM changes RETURNING id"),
        {"person": ann.person_id},
    ).scalar_one()
    delivery = connection.execute(text("SELECT id FROM deliveries")).scalar_one()
    link = Unsubscription(ann.person_id, ann.person_id, UUID(event_id)).token(app.state.sealer)
    known = {
        "event_id": event_id,
        "participant_id": participant_id,
        "channel_id": channel_id,
        "notification_id": str(notification),
        "delivery_id": str(delivery),
        "token": link,
        "/calendars/{token}.ics": calendar.rpartition("/")[2].removesuffix(".ics"),
    }
    before = snapshot(connection)
    assert sum(map(len, before.values())) > 8
    found = list(addresses(app, known))
    assert len(found) > 20
    for method, path in found:
        with subtests.test(method=method, path=path):
            answer = await client.request(method, path, headers=ann.authorization)
            assert answer.status_code == (404 if NOBODYS in path else 200), answer.text
            await client.request(method, path)
            assert snapshot(connection) == before
