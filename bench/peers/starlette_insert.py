"""The limit of `ingest`: Planner's own statement in one hand-written handler on Starlette and asyncpg, nothing else.
Nobody is asked who they are, nothing is checked, limited, counted or logged."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from planner_api.events.writing import CREATE
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ORGANIZER = os.environ["ORGANIZER"]
PERSON = os.environ["PERSON"]


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
        "recurrence": [],
        "organizer": ORGANIZER,
        "actor": PERSON,
        "notify": True,
    }
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(CREATE, json.dumps([event]))
    return JSONResponse({"id": str(row["id"]), "revision": 1, **body}, 201)


app = Starlette(routes=[Route("/events", create, methods=["POST"])], lifespan=lifespan)
