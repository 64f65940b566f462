"""Errors as `application/problem+json` (RFC 9457). Every answer of 4xx and 5xx is made here."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from planner_common.logging import get_logger
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from planner_api.database import is_away

TYPE_BASE = "/problems/"
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""What a client is told to wait when PostgreSQL is away: about what its restart takes."""
ERRORS_LISTED, ERRORS_TOLD = 100, 3
"""How many faults of one body `errors` lists, and how many of them `detail` tells."""
UNSTORABLE = {"22021", "22P05"}
"""SQLSTATEs: character_not_in_repertoire, untranslatable_character."""
NAME_SHOWN = 100
"""How much of a field's name is shown: it may be the client's own, of any length."""

logger = get_logger(__name__)


class Problem(HTTPException):
    """Raise it anywhere in a request: it becomes the answer, and the request's transaction is rolled back.

    `slug` is the stable name that clients may switch on (it ends the `type` URI); `detail` says what was wrong, where,
    and what to do; `errors` are the faults of a body, each with an RFC 6901 pointer.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.slug = slug
        self.title = title
        self.errors = errors or []

    def response(self, request_id: str | None) -> Response:
        content: dict[str, Any] = {
            "type": TYPE_BASE + self.slug,
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
        }
        if request_id is not None:
            content["request_id"] = request_id
        if self.errors:
            content["errors"] = self.errors
        # ASCII, since what is quoted from a request may be no valid Unicode.
        return Response(
            json.dumps(content),
            self.status_code,
            dict(self.headers) if self.headers else None,
            MEDIA_TYPE,
        )


def not_found(what: str) -> Problem:
    """404 for what is absent and for what is not the caller's: an outsider can't tell which."""
    return Problem(404, "not-found", "Not found", f"There is no such {what}, or it is not yours to see.")


def invalid(pointer: str, detail: str) -> Problem:
    """422 for one fault of a body, at an RFC 6901 pointer such as `/participants/3/email`."""
    return Problem(
        422,
        "invalid",
        "The request is not valid",
        f"{pointer}: {detail}",
        errors=[{"pointer": pointer, "detail": detail}],
    )


def unauthorized(detail: str, challenge: str = "Bearer") -> Problem:
    """401, with the challenge that RFC 6750 asks for."""
    return Problem(401, "unauthorized", "Not logged in", detail, headers={"WWW-Authenticate": challenge})


def forbidden(detail: str) -> Problem:
    return Problem(403, "forbidden", "Not allowed", detail)


def too_large(limit: int) -> Problem:
    return Problem(413, "too-large", "The body is too large", f"A body may have {limit:,} bytes here.")


def unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "Not available now",
        "The database cannot be reached. Nothing was changed unless it was just being committed; try again.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def internal() -> Problem:
    return Problem(
        500, "internal", "Internal error", "Planner failed at this request. The log has it under the request's id."
    )


def pointer_to(location: tuple[int | str, ...]) -> str:
    """The RFC 6901 pointer for where pydantic found a fault, without the `body` that FastAPI puts first."""
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part)[:NAME_SHOWN].replace("~", "~0").replace("/", "~1") for part in parts)


def from_validation(error: RequestValidationError) -> Problem:
    faults = error.errors()
    if faults and faults[0]["type"] == "json_invalid":
        return unparsable(faults[0]["ctx"]["error"])
    errors = [
        {"pointer": pointer_to(fault["loc"]), "detail": fault["msg"].removeprefix("Value error, ")}
        for fault in faults[:ERRORS_LISTED]
    ]
    detail = "; ".join(f"{fault['pointer'] or 'the body'}: {fault['detail']}" for fault in errors[:ERRORS_TOLD])
    if len(faults) > ERRORS_TOLD:
        detail += f"; and {len(faults) - ERRORS_TOLD} more"
    return Problem(422, "invalid", "The request is not valid", detail, errors)


def unparsable(detail: str) -> Problem:
    return Problem(400, "unparsable", "The body cannot be parsed", detail)


def from_http(error: HTTPException) -> Problem:
    """A problem for an error that Starlette or FastAPI raised: no such route, no such method, no such media type."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: "There is nothing at this address.",
        405: "This address does not take this method; the Allow header lists those it takes.",
    }.get(error.status_code, str(error.detail))
    return Problem(error.status_code, phrase.lower().replace(" ", "-"), phrase, detail, headers=error.headers)


def to_problem(error: Exception) -> Problem:
    """The problem that an exception is for the client. What is not foreseen is logged, and a 500 without internals."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return from_http(error)
        case RequestValidationError():
            return from_validation(error)
    if is_away(error):
        logger.warning("database_away", error=type(error).__name__)
        return unavailable()
    # What PostgreSQL's text cannot hold (NUL), and a schema let through.
    if getattr(getattr(error, "orig", error), "sqlstate", None) in UNSTORABLE:
        return Problem(422, "invalid", "The request is not valid", "A text holds a character that cannot be stored.")
    logger.error("request_failed", exc_info=error)
    return internal()


async def handle(request: Request, error: Exception) -> Response:
    return to_problem(error).response(request.scope.get("request_id"))


SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "An error, as RFC 9457 describes it.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "A stable URI that names the kind of error."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "The faults of a body, each at an RFC 6901 pointer.",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

DESCRIPTIONS = {
    400: "The body cannot be parsed.",
    401: "Not logged in, or the token is no longer good.",
    403: "Yours, but not allowed.",
    404: "Absent, or not yours.",
    409: "Its state does not allow it.",
    412: "It has changed since: the ETag in `If-Match` is stale.",
    413: "The body is too large.",
    415: "Not the media type that is expected.",
    422: "The request is not valid.",
    428: "`If-Match` is missing.",
    429: "Too many requests.",
    500: "Planner failed.",
    503: "PostgreSQL is away.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these problems, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": DESCRIPTIONS[status], "content": content} for status in sorted(statuses)}
