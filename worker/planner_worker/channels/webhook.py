"""Webhooks: a POST of JSON to a URL of the user's, signed as Standard Webhooks says (www.standardwebhooks.com).

    {
      "type": "notification.reschedule",          "notification." and the kind of the notification
      "timestamp": "2026-03-29T09:00:00Z",        when the change was made
      "data": {
        "id": "…",                                of the notification, as GET /notifications has it
        "kind": "reschedule",
        "revision": 7,                            of the event, by the change
        "summary": "“Standup” now starts …",      a sentence in the reader's language and time zone
        "actor": {"name": "Ann"},                 who made the change; null if nobody is known
        "changes": {"start": [old, new]},         the fields that changed, as the API shows them
        "event": {                                as it is now: at a later revision if it was changed again since
          "id", "uid", "revision", "title", "description", "location", "url", "status",
          "all_day", "starts_at", "ends_at",      in UTC
          "organizer": {"name": "Ann"}
        }
      }
    }

A digest has the type `digest` and in `data.items` such objects, each with its own `type` and `timestamp`, in the order
of their changes. `channel.code` has the code in `data.code`; `channel.test` says that the channel works.

`webhook-id` is the same at every try, so a receiver that remembers it can leave out what it has; `webhook-timestamp` is
the time of the try. Every secret signs, the newest first, so that receivers can change theirs one after the other.

What an answer means: 2xx, taken. 410, the endpoint is no more: the channel is disabled. 3xx, refused: no redirect is
followed, since it may lead anywhere. All else is a failure that is tried again, 4xx too: a receiver that is being
deployed or renews its secrets answers 401 or 404 for a while, and a message given up cannot be got back. 5xx and no
answer count against the host. When a request was sent and no status came back, nobody knows whether it was taken:
`unknown`.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from planner_common.deliveries import ChannelType, Outcome, Purpose
from planner_common.settings import Settings

from planner_worker.channels import ANSWER_LIMIT, Item, Limits, Message, Result
from planner_worker.channels.answers import (
    REDIRECTS,
    SERVER_ERRORS,
    SUCCESSES,
    legible,
    retry_after,
    secrets_of,
)
from planner_worker.channels.plain import sentence, text_of
from planner_worker.connecting import RefusedError, UnreachableError
from planner_worker.outbound import Answer, Outbound, UnansweredError

SECONDS = 15.0
"""For a try as a whole; Standard Webhooks advises 15 to 30."""
READ_LIMIT = 4 * ANSWER_LIMIT
"""Bytes of an answer that are read. A character of UTF-8 has four at most."""
SECRET_PREFIX = "whsec_"  # noqa: S105  # not a secret
GONE = 410


class Webhook:
    type = ChannelType.WEBHOOK

    def __init__(self, settings: Settings, outbound: Outbound | None = None) -> None:
        self.limits = Limits(settings.webhook_tries, settings.webhook_hours, settings.webhook_per_second)
        self._outbound = outbound or Outbound(settings)

    def host(self, message: Message) -> str:
        return urlsplit(message.address["url"]).hostname or ""

    async def send(self, message: Message) -> Result:
        url, secrets = message.address["url"], message.address["secrets"]
        hidden = secrets_of(url, host=True) | {secret.removeprefix(SECRET_PREFIX) for secret in secrets}
        body = json.dumps(payload(message), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            headers = signed(str(message.id), datetime.now(UTC), body, secrets)
            answer = await self._outbound.request(
                "POST", url, headers=headers, content=body, seconds=SECONDS, limit=READ_LIMIT
            )
        except RefusedError as error:
            return Result(outcome=Outcome.REFUSED, detail=legible(str(error), hidden))
        except UnreachableError as error:
            return Result(outcome=Outcome.LATER, detail=legible(str(error), hidden), host_failed=True)
        except UnansweredError as error:
            return Result(outcome=Outcome.UNKNOWN, detail=legible(str(error), hidden), host_failed=True)
        return _result(answer, legible(f"{answer.line}\n{answer.body.decode('utf-8', 'replace')}", hidden))

    async def close(self) -> None:
        await self._outbound.close()


CHANNEL = Webhook


def _result(answer: Answer, detail: str) -> Result:
    if answer.status in SUCCESSES:
        return Result(outcome=Outcome.ACCEPTED, status=answer.status, detail=detail)
    if answer.status in REDIRECTS:
        return Result(outcome=Outcome.REFUSED, status=answer.status, detail=f"A redirect is not followed. {detail}")
    if answer.status == GONE:
        return Result(outcome=Outcome.REFUSED, status=answer.status, detail=detail, gone=True)
    return Result(
        outcome=Outcome.LATER,
        status=answer.status,
        detail=detail,
        retry_after=retry_after(answer.header("retry-after")),
        host_failed=answer.status in SERVER_ERRORS,
    )


def signed(message_id: str, at: datetime, body: bytes, secrets: list[str]) -> dict[str, str]:
    """The headers of a call. Raises RefusedError when a secret is damaged."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    try:
        keys = [base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) for secret in secrets]
    except ValueError as error:
        raise RefusedError("A secret of this channel is not base64: give it a new one.") from error
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def payload(message: Message) -> dict[str, Any]:
    """What is sent, as the head of this module shows it."""
    if message.purpose is Purpose.NOTIFICATION and len(message.items) == 1:
        return _told(message.items[0], message)
    data: dict[str, Any]
    if message.purpose is Purpose.NOTIFICATION:
        kind, data = "digest", {"items": [_told(item, message) for item in message.items]}
    else:
        kind = f"channel.{message.purpose}"
        data = {"channel_id": str(message.channel_id), "summary": text_of(message).body}
        if message.code is not None:
            data["code"] = message.code
    return {"type": kind, "timestamp": _utc(message.created_at), "data": data}


def _told(item: Item, message: Message) -> dict[str, Any]:
    data = {
        "id": str(item.notification_id),
        "kind": item.kind,
        "revision": item.revision,
        "summary": sentence(item, message.reader),
        "actor": None if item.actor is None else {"name": item.actor},
        "changes": item.diff,
        "event": _event(item),
    }
    return {"type": f"notification.{item.kind}", "timestamp": _utc(item.at), "data": data}


def _event(item: Item) -> Mapping[str, Any]:
    return {
        "id": str(item.event_id),
        "uid": item.uid,
        "revision": item.event_revision,
        "title": item.title,
        "description": item.description,
        "location": item.location,
        "url": item.url,
        "status": item.status,
        "all_day": item.all_day,
        "starts_at": _utc(item.starts_at),
        "ends_at": _utc(item.ends_at),
        "organizer": {"name": item.organizer_name},
    }


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
