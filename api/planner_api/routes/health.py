"""Health: whether the process turns, and whether it can do its work."""

import asyncio
from typing import Literal

from fastapi import Request, Response
from sqlalchemy import text

from planner_api.database import connect
from planner_api.routing import make_router
from planner_api.schemas.common import Out

READY_SECONDS = 2

router = make_router("health")


class Alive(Out):
    status: Literal["alive"] = "alive"


class Readiness(Out):
    status: Literal["ready", "not ready"]
    missing: list[str]
    """What it cannot work without."""
    degraded: list[str]
    """What it works without, slower."""


@router.get("/livez")
async def livez() -> Alive:
    """The process turns. Nothing else is asked, so that no outage elsewhere gets it restarted."""
    return Alive()


async def missing_of(request: Request) -> list[str]:
    try:
        async with asyncio.timeout(READY_SECONDS), connect(request.app.state.engine) as connection:
            found = (await connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar_one()
            at = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() if found else None
    except Exception:  # noqa: BLE001  # whatever it is, the database does not answer
        return ["postgresql"]
    return [] if at == request.app.state.schema_head else ["migrations"]


@router.get("/readyz", responses={503: {"model": Readiness, "description": "It cannot work now."}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Whether requests can be served. With Redis away they can: the cache misses, limits are counted per process."""
    missing = await missing_of(request)
    if missing:
        response.status_code = 503
    degraded = ["cache", "rate limits"] if request.app.state.guard.is_open else []
    return Readiness(status="not ready" if missing else "ready", missing=missing, degraded=degraded)
