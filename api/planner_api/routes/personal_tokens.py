"""Personal access tokens: for programs that act for an account."""

from uuid import UUID

from fastapi import Response
from planner_common.models import personal_tokens
from planner_common.tokens import PERSONAL_PREFIX, digest, new_secret
from sqlalchemy import func, insert

from planner_api.belongings import end, page_of
from planner_api.dependencies import AccountCallerDep, ConnectionDep
from planner_api.errors import invalid, problems
from planner_api.pagination import CursorQuery, LimitQuery
from planner_api.routing import make_router, shows_secret
from planner_api.schemas.accounts import NewPersonalToken, PersonalToken, PersonalTokens, TokenRequest

router = make_router("personal tokens")

SHOWN = [personal_tokens.c[name] for name in PersonalToken.model_fields]


@router.post("/me/tokens", status_code=201, responses=problems(400, 401, 403, 413, 415))
@shows_secret
async def create_token(
    body: TokenRequest, caller: AccountCallerDep, connection: ConnectionDep, response: Response
) -> NewPersonalToken:
    """Make a token. It is shown in this answer and never again, so no `Idempotency-Key` repeats it."""
    token = new_secret(PERSONAL_PREFIX)
    statement = insert(personal_tokens).values(
        account_id=caller.account_id,
        name=body.name,
        scopes=sorted(set(body.scopes)),
        token_hash=digest(token),
        expires_at=body.expires_at,
    )
    row = (await connection.execute(statement.returning(*SHOWN, func.now().label("now")))).one()
    if row.expires_at is not None and row.expires_at <= row.now:
        raise invalid("/expires_at", "must be in the future")
    response.headers["Location"] = f"/api/v1/me/tokens/{row.id}"
    return NewPersonalToken(**PersonalToken.model_validate(row).model_dump(), token=token)


@router.get("/me/tokens", responses=problems(401, 403))
async def list_tokens(
    caller: AccountCallerDep, connection: ConnectionDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> PersonalTokens:
    """My tokens, oldest first, without their secrets."""
    rows, next_cursor = await page_of(connection, personal_tokens, SHOWN, caller, limit, cursor)
    return PersonalTokens(items=[PersonalToken.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.delete("/me/tokens/{token_id}", status_code=204, responses=problems(401, 403, 404))
async def delete_token(token_id: UUID, caller: AccountCallerDep, connection: ConnectionDep) -> None:
    """End a token, at once."""
    await end(connection, personal_tokens, token_id, caller, "token")
