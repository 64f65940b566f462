"""Idempotency-Key: a request that comes again is not run again; it is answered as it was the first time.

The answer is kept under the key in the transaction of the request's own writes: whatever dies and whenever, either both
are there or neither is. While a request runs it holds an advisory lock, which ends with its transaction: of one that
died nothing is left, and its repeat is run. What has no key is spared all of this.

Only success is kept. A problem is raised, and with it everything is rolled back: what was refused has changed nothing,
so to run it again is right. A client that was answered 409, 429 or 503 may send the same key until it gets through.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from planner_common.sealing import UnsealedError
from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from planner_api.database import begin
from planner_api.dependencies import SHARED
from planner_api.errors import Problem, invalid
from planner_api.tokens import Caller

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 255
SANE_KEY = re.compile(rf"[ -~]{{1,{MAX_KEY}}}")
KEPT = timedelta(hours=24)
MAX_ANSWER = 1_000_000
"""Bytes of an answer that are kept at most. Only an import of thousands of events that make no sense is answered at
more length: it is run again when it is repeated, and finds its events by their UIDs."""

Handle = Callable[[Request], Awaitable[Response]]

# Two statements: what the second one sees was committed before the lock was got.
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('key ' || CAST(:name AS text), 0))")
FIND = text("""
    SELECT fingerprint, status, headers, body FROM idempotency_keys
     WHERE account_id = :account AND key = :key AND created_at > now() - CAST(:kept AS interval)
""").columns(headers=JSONB)
# What is in the way has expired and was not pruned yet.
KEEP = text("""
    INSERT INTO idempotency_keys AS k (account_id, key, fingerprint, status, headers, body)
    VALUES (:account, :key, :fingerprint, :status, CAST(:headers AS jsonb), :body)
    ON CONFLICT (account_id, key) DO UPDATE
       SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status, headers = EXCLUDED.headers,
           body = EXCLUDED.body, created_at = EXCLUDED.created_at
""")


def key_of(request: Request) -> str | None:
    """The request's key, None where there is none. Raises a 422 problem for one that is no good."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not SANE_KEY.fullmatch(given[0]):
        raise _unfit(f"must be given once, with 1 to {MAX_KEY} printable characters of ASCII")
    return given[0]


def _unfit(detail: str) -> Problem:
    return invalid(f"/header/{HEADER.lower()}", detail)


def still_running() -> Problem:
    return Problem(
        409,
        "in-progress",
        "Still running",
        f"A request with this {HEADER} is running: repeat it in a moment to get its answer.",
        headers={"Retry-After": "1"},
    )


def unreadable() -> Problem:
    return Problem(
        409,
        "answer-lost",
        "The answer is lost",
        f"The request of this {HEADER} was done, and not again now. Its answer was sealed with a key that is gone.",
    )


class Replay(Exception):
    """Raised instead of running a request: this is its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Attempt:
    """A request with a key. Its transaction begins when its handler asks for it: one that reads a file first holds no
    connection meanwhile."""

    def __init__(self, request: Request, caller: Caller, key: str, stack: AsyncExitStack, *, reads_body: bool) -> None:
        self._request = request
        self._state = request.scope["app"].state
        self._values = {"account": caller.account_id, "key": key}
        self._stack = stack
        self._reads_body = reads_body
        self._fingerprint = b""
        self._transaction: AsyncConnection | None = None

    async def connection(self) -> AsyncConnection:
        """The transaction, which nobody but `once` commits. Raises Replay if the request was run before; 409 if it is
        running, 422 if the key was another request's."""
        if self._transaction is None:
            self._fingerprint = await self._taken()
            connection = await self._stack.enter_async_context(begin(self._state.engine))
            name = "{account} {key}".format(**self._values)
            if not await connection.scalar(LOCK, {"name": name}):
                raise still_running()
            found = (await connection.execute(FIND, {**self._values, "kept": KEPT})).mappings().one_or_none()
            if found is not None:
                raise Replay(self._kept(found))
            self._transaction = connection
        return self._transaction

    async def _taken(self) -> bytes:
        """The request's fingerprint. A body that the handler does not read is no part of it."""
        request = self._request
        scope = request.scope
        parts = [scope["method"], scope["path"], scope["query_string"].decode("latin-1")]
        if not self._reads_body:
            return hashlib.sha256(json.dumps(parts).encode()).digest()
        parts.append(request.headers.get("content-type", ""))
        return hashlib.sha256(json.dumps(parts).encode() + await request.body()).digest()

    def _kept(self, row: RowMapping) -> Response:
        """The answer of the first request. Raises problems."""
        if row["fingerprint"] != self._fingerprint:
            raise _unfit("was used for another request: take a new key for each, and the same only to repeat it")
        try:
            body = self._state.sealer.open_bytes(row["body"])
        except UnsealedError as error:
            raise unreadable() from error
        return Response(body, row["status"], {**row["headers"], REPLAYED: "true"})

    async def keep(self, response: Response) -> bool:
        """Write down the answer, if it is one to be kept. Returns whether there is anything to commit at all."""
        if self._transaction is None:
            return False
        body: Any = getattr(response, "body", None)
        if isinstance(body, bytes) and len(body) <= MAX_ANSWER:
            headers = {name: value for name, value in response.headers.items() if name != "content-length"}
            answer = {
                "fingerprint": self._fingerprint,
                "status": response.status_code,
                "headers": json.dumps(headers),
                "body": self._state.sealer.seal_bytes(body),
            }
            await self._transaction.execute(KEEP, self._values | answer)
        return True


async def once(request: Request, handle: Handle, caller: Caller, key: str, *, reads_body: bool) -> Response:
    """Handle a request, unless it was handled before: then its answer is the first one's."""
    async with AsyncExitStack() as stack:
        attempt = Attempt(request, caller, key, stack, reads_body=reads_body)
        request.scope[SHARED] = attempt.connection
        try:
            response = await handle(request)
        except Replay as replay:
            return replay.response
        wrote = await attempt.keep(response)
    if wrote:
        request.scope["app"].state.waker.wake()
    return response
