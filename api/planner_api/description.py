"""What OpenAPI is to say of things that no handler declares, since they surround all of them."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from planner_api import errors, idempotency
from planner_api.routing import Route
from planner_api.schemas.previews import Preview

KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Makes it safe to repeat the request when its answer was lost: a repeat with the same key within 24 hours is "
        f"answered as the first one was, with `{idempotency.REPLAYED}: true`, and changes nothing. What was refused "
        "may be sent again with the same key; another request needs another key (422). A random UUID will do."
    ),
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": idempotency.MAX_KEY,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}
REPLAYED = {
    "description": "`true`: this is the answer of the first request with this key. Absent otherwise.",
    "schema": {"type": "string", "const": "true"},
}
IN_PROGRESS = {"description": "Its state does not allow it, or a request with this `Idempotency-Key` is still running."}
ANSWERS = [{"$ref": f"#/components/schemas/{name}"} for name in ("EventOut", "Added", "ParticipantOut", "ImportResult")]
"""What routes that take `dry_run` answer without it."""


def complete(app: FastAPI, document: dict[str, Any]) -> None:
    """Add it to the description that FastAPI has made."""
    components = document["components"]
    components["schemas"]["Problem"] = errors.SCHEMA
    components["parameters"] = {"IdempotencyKey": KEY}
    preview = Preview.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    for name, schema in preview.pop("$defs").items():
        components["schemas"].setdefault(name, schema)
    preview["properties"]["answer"]["anyOf"] = [*ANSWERS, {"type": "null"}]
    components["schemas"]["Preview"] = preview
    components["headers"] = {"IdempotencyReplayed": REPLAYED}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        operations = document["paths"].get(context.path_format, {})
        for method in context.methods or ():
            operation = operations.get(method.lower())
            if operation is None or not isinstance(route, Route):
                continue
            if route.takes_key:
                _add_key(operation)
            if route.rehearses:
                _add_preview(operation)


def _add_key(operation: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    responses = operation["responses"]
    responses["409"] = errors.problems(409)[409] | IN_PROGRESS
    for status, response in responses.items():
        if status.startswith("2"):
            headers = response.setdefault("headers", {})
            headers[idempotency.REPLAYED] = {"$ref": "#/components/headers/IdempotencyReplayed"}


def _add_preview(operation: dict[str, Any]) -> None:
    preview = {"$ref": "#/components/schemas/Preview"}
    responses = operation["responses"]
    response = responses.setdefault("200", {"description": "With `dry_run=true`: what would happen."})
    content = response.setdefault("content", {}).setdefault("application/json", {})
    content["schema"] = {"anyOf": [content["schema"], preview]} if "schema" in content else preview
    operation["responses"] = dict(sorted(responses.items()))
