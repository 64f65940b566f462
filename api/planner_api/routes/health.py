"""Health: whether the process turns, and whether it can do its work."""

import asyncio
from typing import Literal

from fastapi import FastAPI, Request, Response
from planner_common.logging import get_logger
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from planner_api.database import DatabaseAwayError, connect
from planner_api.limits import limiter
from planner_api.routing import make_router
from planner_api.schemas.common import Out

READY_SECONDS = 2

router = make_router("health")
logger = get_logger(__name__)


class Alive(Out):
    status: Literal["alive"] = "alive"


class Readiness(Out):
    status: Literal["ready", "not ready"]
    missing: list[str]
    """What it cannot work without."""
    degraded: list[str]
    """What it works without, slower."""


# Without a limit: an orchestrator that is refused would restart a process that is only busy. Neither costs much: one
# does nothing, of the other one runs at a time.


@router.get("/livez")
@limiter.exempt
async def livez() -> Alive:
    """The process turns. Nothing else is asked, so that no outage elsewhere gets it restarted."""
    return Alive()


async def missing_of(app: FastAPI) -> list[str]:
    """What requests cannot be served without and is not there."""
    try:
        async with asyncio.timeout(READY_SECONDS), connect(app.state.engine) as connection:
            exists = (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one() is not None
            at = (
                (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() if exists else None
            )
    except (DatabaseAwayError, SQLAlchemyError, OSError) as error:
        logger.warning("not_ready", error=type(error).__name__)
        return ["postgresql"]
    return [] if at == app.state.schema_head else ["migrations"]


@router.get("/readyz", responses={503: {"model": Readiness, "description": "It cannot work now."}})
@limiter.exempt
async def readyz(request: Request, response: Response) -> Readiness:
    """Whether requests can be served. With Redis away they can: the cache misses, limits are counted per process."""
    state = request.app.state
    asking: asyncio.Task[list[str]] | None = getattr(state, "asking_readiness", None)
    if asking is None or asking.done():
        asking = state.asking_readiness = asyncio.create_task(missing_of(request.app))
    missing = await asyncio.shield(asking)
    if missing:
        response.status_code = 503
    degraded = ["cache", "rate limits"] if state.guard.is_open else []
    return Readiness(status="not ready" if missing else "ready", missing=missing, degraded=degraded)
