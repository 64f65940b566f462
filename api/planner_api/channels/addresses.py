"""Addresses of channels: what is sealed, and the little that may be shown of it."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from planner_common.addresses import check_apprise_url, check_url
from planner_common.people import person_id
from planner_common.sealing import Sealer, UnsealedError
from planner_common.settings import Settings

from planner_api.errors import invalid
from planner_api.schemas.channels import ADDRESS_OF, ChannelIn

SECRETS_KEPT = 2
"""Secrets of a webhook: the one of now, and the one before it for as long as the other side has not changed over."""


def new_secret() -> str:
    """A secret for signatures, as Standard Webhooks writes one: 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def new_code() -> str:
    return f"{secrets.randbelow(1_000_000):06}"


def of_body(body: ChannelIn, owner: UUID, settings: Settings) -> dict[str, Any]:
    """The address of a new channel, with a webhook's first secret. 422 for what is none, or leads inside."""
    address = body.address()
    field = ADDRESS_OF[body.type]
    if not address:
        raise invalid(f"/{field}", f"a channel of type {body.type} needs it")
    if body.type == "email" and person_id(body.email) == owner:
        raise invalid("/email", "is the address of your account, which needs no channel: see the preferences")
    try:
        if body.type == "webhook":
            check_url(body.url, settings)
            address["secrets"] = [new_secret()]
        elif body.type == "apprise":
            check_apprise_url(body.url)
    except ValueError as error:
        raise invalid(f"/{field}", str(error)) from error
    return address


def with_new_secret(address: Mapping[str, Any]) -> dict[str, Any]:
    return {**address, "secrets": [new_secret(), *address["secrets"]][:SECRETS_KEPT]}


def hint(kind: str, sealed: bytes, sealer: Sealer) -> str | None:
    """What may be shown: by it its owner knows which address it is, and nobody else learns it.

    Of a webhook not the path, of an Apprise URL only the scheme: the rest may be what gives access. None when no key
    opens it.
    """
    try:
        address = sealer.open(sealed)
    except UnsealedError:
        return None
    if kind == "email":
        local, _, domain = address["email"].rpartition("@")
        return f"{local[:1]}…@{domain}"
    if kind == "apprise":
        return f"{address['url'].partition('://')[0].lower()}://…"
    if kind == "webhook":
        parts = urlsplit(address["url"])
        return f"{parts.scheme}://{parts.netloc}"
    return None
