"""What an id means: which changes, and whom of those who were told of them, its story is about.

Keys are looked up in the order of their cost. The one thing that has no index is the request of a change. It would cost
every change that is made, for a question that is asked seldom, so it is found by going through the changes, those of
the last day first (docs/decisions/0017-a-request-is-found-by-a-scan.md).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

LARGEST_CHANGE = 2**63 - 1


class What(StrEnum):
    REQUEST = "request"
    EVENT = "event"
    CHANGE = "change"
    NOTIFICATION = "notification"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Subject:
    what: What
    id: str
    changes: list[int]
    person: UUID | None = None
    """Of those who were told, only this one."""
    delivery: UUID | None = None
    """Of the deliveries, only this one."""


CHANGE = text("SELECT id FROM changes WHERE id = :id")
EVENT = text("SELECT c.id FROM events e LEFT JOIN changes c ON c.event_id = e.id WHERE e.id = :id ORDER BY c.id")
DELIVERY = text("SELECT change_id, person_id FROM deliveries WHERE id = :id")
# A notification's id is no key by itself, but says when it was made: in the statement that fanned its change out.
NOTIFICATION = text("""
    SELECT n.change_id, n.person_id FROM changes c JOIN notifications n ON n.change_id = c.id
     WHERE c.fanned_out_at BETWEEN uuid_extract_timestamp(:id) - interval '1 second'
                               AND uuid_extract_timestamp(:id) + interval '2 minutes'
       AND n.id = :id
""")
ANY_NOTIFICATION = text("SELECT change_id, person_id FROM notifications WHERE id = :id")
REQUEST = "SELECT id FROM changes WHERE request_id = :id{} ORDER BY id"
RECENT_REQUEST = text(REQUEST.format(" AND at > now() - interval '1 day'"))
ANY_REQUEST = text(REQUEST.format(""))

Look = Callable[[], Subject | None]


def find(connection: Connection, given: str) -> Subject | None:
    """What has this id; None: nothing that the tables know."""
    return next((found for look in _looks(connection, given) if (found := look()) is not None), None)


def _looks(connection: Connection, given: str) -> Iterator[Look]:
    def changes(what: What, statement: TextClause, key: object) -> Look:
        def look() -> Subject | None:
            ids = connection.execute(statement, {"id": key}).scalars().all()
            return Subject(what, str(key), [each for each in ids if each is not None]) if ids else None

        return look

    def told(what: What, statement: TextClause, key: UUID) -> Look:
        def look() -> Subject | None:
            row = connection.execute(statement, {"id": key}).first()
            if row is None:
                return None
            delivery = key if what is What.DELIVERY else None
            return Subject(what, str(key), [] if row.change_id is None else [row.change_id], row.person_id, delivery)

        return look

    if given.isdecimal() and given.isascii() and int(given) <= LARGEST_CHANGE:
        yield changes(What.CHANGE, CHANGE, int(given))
    with suppress(ValueError):
        key = UUID(given)
        yield changes(What.EVENT, EVENT, key)
        yield told(What.DELIVERY, DELIVERY, key)
        if key.version == 7:  # noqa: PLR2004  # others are requests'
            yield told(What.NOTIFICATION, NOTIFICATION, key)
            yield told(What.NOTIFICATION, ANY_NOTIFICATION, key)
    yield changes(What.REQUEST, RECENT_REQUEST, given)
    yield changes(What.REQUEST, ANY_REQUEST, given)
