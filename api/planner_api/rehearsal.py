"""`?dry_run=true`: a request is handled as ever, and instead of a commit it is said what would have come of it.

The very same code runs on the very same data, so it is refused what it would be refused, and what it writes is what the
preview is made of. Then it is rolled back: no row is changed, nobody is woken, no answer is kept under a key.
"""

from contextlib import AsyncExitStack

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from planner_api.database import connect
from planner_api.dependencies import SHARED
from planner_api.events.previewing import newest, preview
from planner_api.idempotency import Handle

FLAG = TypeAdapter(bool)


def wanted(request: Request) -> bool:
    """Whether only a preview is asked for. What is no truth value will be refused by the route itself."""
    try:
        return FLAG.validate_python(request.query_params.get("dry_run", False))
    except ValidationError:
        return False


async def rehearse(request: Request, handle: Handle) -> Response:
    """Handle a request in a transaction that is rolled back, and answer with a preview of what it would have done."""
    state = request.scope["app"].state
    async with AsyncExitStack() as stack:
        opened: list[tuple[AsyncConnection, int]] = []

        async def connection() -> AsyncConnection:
            if not opened:
                found = await stack.enter_async_context(connect(state.engine))  # it rolls back what is not committed
                opened.append((found, await newest(found)))
            return opened[0][0]

        request.scope[SHARED] = connection
        response = await handle(request)
        request.scope.pop("changes", None)  # which the log would name
        await connection()
        answer = from_json(bytes(response.body)) if response.body else None
        found = await preview(*opened[0], state.settings, response.status_code, answer)
    return Response(found.model_dump_json(), media_type="application/json")
