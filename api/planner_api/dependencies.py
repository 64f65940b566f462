"""What route handlers ask for: a connection in a transaction, the caller, the settings."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from planner_common.settings import Settings
from sqlalchemy.ext.asyncio import AsyncConnection


async def transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    """One transaction for the request.

    `scope="function"`: it commits before the answer leaves, so a commit that fails is answered 5xx (I1). FastAPI's
    default would commit after the answer.
    """
    async with request.app.state.engine.begin() as connection:
        yield connection


ConnectionDep = Annotated[AsyncConnection, Depends(transaction, scope="function")]


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(settings_of)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an account, logged in by an access token or a personal token."""

    account_id: UUID
    person_id: UUID
    scopes: frozenset[str]
