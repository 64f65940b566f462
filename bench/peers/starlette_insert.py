"""The limit of `ingest`: Planner's own statement in one hand-written handler on Starlette and asyncpg, nothing else.
Nobody is asked who they are, nothing is checked, limited, counted or logged."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from planner_api.events.writing import CREATE
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

COMPILED = CREATE.compile(dialect=dialect.dialect())  # type: ignore[no-untyped-call]
STATEMENT, NAMES = str(COMPILED), COMPILED.positiontup
ORGANIZER = UUID(os.environ["ORGANIZER"])
PERSON = UUID(os.environ["PERSON"])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


async def create(request: Request) -> JSONResponse:
    body = await request.json()
    start, end = body["start"], body["end"]
    people = [{"person_id": one["id"], "email": one["email"], "role": "required"} for one in body["participants"]]
    event = {
        "title": body["title"],
        "status": "confirmed",
        "all_day": False,
        "start_wall": start["date_time"],
        "start_zone": start["time_zone"],
        "end_wall": end["date_time"],
        "end_zone": end["time_zone"],
        "starts_at": start["date_time"] + "Z",
        "ends_at": end["date_time"] + "Z",
        "reminders": [],
        "people": people,
    }
    async with request.app.state.pool.acquire() as connection:
        values = {"events": json.dumps([event]), "organizer": ORGANIZER, "actor": PERSON, "notify": True}
        row = await connection.fetchrow(STATEMENT, *(values.get(name) for name in NAMES))
    return JSONResponse({"id": str(row["id"]), "revision": 1, **body}, 201)


app = Starlette(routes=[Route("/events", create, methods=["POST"])], lifespan=lifespan)
