"""Who asks. Done before anything else of a request, since limits are counted per account."""

from datetime import timedelta

from planner_common.tokens import PERSONAL_PREFIX, digest, looks_genuine
from sqlalchemy import text
from starlette.requests import Request

from planner_api.database import connect
from planner_api.tokens import Caller, token_of

USED_AGAIN_AFTER = timedelta(hours=1)
"""How exact `last_used_at` of a personal token is: reading with it should hardly ever write."""

FIND = text("""
    SELECT t.id, t.account_id, a.person_id, t.scopes, t.expires_at,
           t.last_used_at IS NULL OR t.last_used_at < now() - CAST(:again AS interval) AS note_use
      FROM personal_tokens t JOIN accounts a ON a.id = t.account_id
     WHERE t.token_hash = :hash AND (t.expires_at IS NULL OR t.expires_at > now())
""")
NOTE_USE = text("UPDATE personal_tokens SET last_used_at = now() WHERE id = :id")


async def identify(request: Request) -> None:
    """Leave the caller in the scope, where a good token says who it is. What is not good is nobody's."""
    token = token_of(request)
    if not token:
        return
    state = request.scope["app"].state
    if token.startswith(PERSONAL_PREFIX):
        request.scope["caller"] = await _personal(request, token)
    else:
        request.scope["caller"] = state.access_tokens.verify(token)


async def _personal(request: Request, token: str) -> Caller | None:
    if not looks_genuine(token, PERSONAL_PREFIX):
        return None
    async with connect(request.scope["app"].state.autocommit) as connection:
        found = await connection.execute(FIND, {"hash": digest(token), "again": USED_AGAIN_AFTER})
        row = found.one_or_none()
        if row is None:
            return None
        if row.note_use:
            await connection.execute(NOTE_USE, {"id": row.id})
    return Caller(row.account_id, row.person_id, frozenset(row.scopes), row.expires_at)
