"""Letters: messages as mails, in the bytes that go to the server.

Of a mail to thousands all but a few lines is the same for those who read one language in one zone. It is made and
encoded once; a letter then costs a signed link, a date and a join.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from markupsafe import escape
from planner_common.deliveries import Purpose
from planner_common.sealing import Sealer, Unsubscription
from planner_common.settings import Settings
from planner_common.summaries import Reader

from planner_worker.channels import Item, Message
from planner_worker.mail.bodies import BOUNDARY, NAME, Body, Gap, greeting, quoted, said
from planner_worker.mail.connections import Envelope
from planner_worker.mail.headers import address_of, line, mailbox, sender_of, unstructured

EVERYTHING = UUID(int=0)
"""Stands for an event in a link that ends all mails."""
KEPT = 256
"""Mails made ready, of some 10 kB each."""
# What two items say the same by. A change is never changed, so its id stands for its diff.
SAME = attrgetter(*(field.name for field in fields(Item) if field.name not in {"notification_id", "diff"}))


@dataclass(frozen=True, slots=True)
class Ready:
    """A mail but for its recipient, encoded."""

    head: bytes
    plain: Body
    html: Body


class _One:
    """An item and its reader: equal to another if mails about both differ in their recipient only."""

    __slots__ = ("_key", "item", "reader")

    def __init__(self, item: Item, reader: Reader) -> None:
        self.item = item
        self.reader = reader
        self._key: tuple[Any, ...] = (reader, SAME(item))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _One) and self._key == other._key


class Letters:
    """`Letters(settings).envelope(message)`."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError where the settings do not make sense."""
        phrase, self._sender = sender_of(settings.mail_from)
        self.domain = self._sender.rpartition("@")[2]
        self._from = mailbox("From", phrase, self._sender)
        self._link = f"{settings.public_url.rstrip('/')}/unsubscribe/"
        self._sealer = Sealer(settings.encryption_keys)
        self._ready = lru_cache(maxsize=KEPT)(
            lambda one: self._made(Purpose.NOTIFICATION, (one.item,), None, one.reader)
        )

    def envelope(self, message: Message) -> Envelope:
        """The mail and its way. Raises AddressError if there can be none."""
        address = address_of(message.address["email"])
        if message.purpose is Purpose.NOTIFICATION and len(message.items) == 1:
            ready = self._ready(_One(message.items[0], message.reader))
        else:
            ready = self._made(message.purpose, message.items, message.code, message.reader)
        head = [
            ready.head,
            mailbox("To", line(message.name or "", NAME), address),
            f"Date: {_date(int(time.time()))}\r\nMessage-ID: <{message.id}@{self.domain}>\r\n".encode(),
        ]
        hello, link = greeting(message.name, message.reader), ""
        if message.purpose is Purpose.NOTIFICATION:
            # What makes links of the addresses in a text leaves an = at the end out.
            link = self._link + self._unsubscription(message).token(self._sealer).replace("=", "%3D")
            post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click"  # RFC 8058
            head.append(f"List-Unsubscribe: <{link}>\r\n{post}\r\n".encode())
        content = [
            *head,
            _part("plain"),
            *_filled(ready.plain, hello, link),
            _part("html"),
            *_filled(ready.html, str(escape(hello)), str(escape(link))),
            f"--{BOUNDARY}--\r\n".encode(),
        ]
        return Envelope(self._sender, address, b"".join(content), utf8=not address.isascii())

    def _unsubscription(self, message: Message) -> Unsubscription:
        event = message.items[0].event_id if len(message.items) == 1 else EVERYTHING
        return Unsubscription(message.person_id, message.channel_id, event)

    def _made(self, purpose: Purpose, items: Sequence[Item], code: str | None, reader: Reader) -> Ready:
        what = said(purpose, items, code, reader)
        head = [self._from, unstructured("Subject", what.subject)]
        if len(items) == 1:
            event = items[0].event_id
            thread = f"<{event}@{self.domain}>"  # no mail's own id, so that the first belongs to it like the others
            head.append(f"In-Reply-To: {thread}\r\nReferences: {thread}\r\n".encode())
            head.append(f"List-Id: <{event}.{self.domain}>\r\n".encode())
        head.append(b"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")
        head.append(f'Content-Type: multipart/alternative; boundary="{BOUNDARY}"\r\n'.encode())
        return Ready(b"".join(head), what.plain, what.html)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _part(subtype: str) -> bytes:
    encoding = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable'
    return f"\r\n--{BOUNDARY}\r\n{encoding}\r\n\r\n".encode()


def _filled(body: Body, hello: str, link: str) -> list[bytes]:
    values = {Gap.GREETING: quoted(hello), Gap.UNSUBSCRIBE: quoted(link)}
    return [values[piece] if isinstance(piece, Gap) else piece for piece in body]
