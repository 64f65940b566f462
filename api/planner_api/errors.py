"""Errors as `application/problem+json` (RFC 9457). Every answer of 4xx and 5xx is made here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

TYPE_BASE = "/problems/"


@dataclass
class Problem(Exception):
    """Raise it anywhere in a request: it becomes the answer, and the request's transaction is rolled back.

    `slug` is the stable name that clients may switch on (it ends the `type` URI); `detail` says what was wrong, where,
    and what to do; `errors` are the faults of a body, each with an RFC 6901 pointer.
    """

    status: int
    slug: str
    title: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)


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
