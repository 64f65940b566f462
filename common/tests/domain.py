"""Events and their changes, written straight into the tables, as the API would write them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.models import deliveries, delivery_attempts
from planner_common.people import person_id
from sqlalchemy import Connection, func, insert, text


@dataclass(frozen=True)
class Event:
    id: UUID
    organizer: str
    creation: int


class Domain:
    """People are named by their addresses; changes are numbers, as in the tables."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def event(self, organizer: str, *invited: str, notify: bool = True) -> Event:
        account = self.connection.scalar(
            text("""
                INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
                VALUES (:person, :email, :email, 'UTC', 'en', '')
                ON CONFLICT (email) DO UPDATE SET email = EXCLUDED.email RETURNING id
            """),
            {"person": person_id(organizer), "email": organizer},
        )
        event = self.connection.scalar(
            text("""
                INSERT INTO events
                       (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at, revision)
                VALUES (uuidv7()::text, :account, 'Dinner', true, '2030-05-01', '2030-05-02', '2030-05-01',
                        '2030-05-02', 0) RETURNING id
            """),
            {"account": account},
        )
        assert isinstance(event, UUID)
        creation = self.change(event, Kind.CREATION, actor=organizer, add=invited, notify=notify)
        return Event(event, organizer, creation)

    def change(
        self,
        event: Event | UUID,
        kind: Kind,
        *,
        actor: str | None,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        promote: Iterable[str] = (),
        notify: bool = True,
        request_id: str | None = None,
        audience_size: int = 1,
    ) -> int:
        """One change, with the participants that it adds, takes out and promotes. Returns its id."""
        change = self.connection.scalar(
            text("""
                WITH event AS (UPDATE events SET revision = revision + 1 WHERE id = :event RETURNING id, revision)
                INSERT INTO changes (event_id, revision, kind, actor, notify, request_id, audience_size, fanned_out_at)
                SELECT id, revision, :kind, :actor, :notify, :request_id, :size,
                       CASE WHEN :notify THEN NULL ELSE now() END
                  FROM event RETURNING id
            """),
            {
                "event": event.id if isinstance(event, Event) else event,
                "kind": kind,
                "actor": person_id(actor) if actor else None,
                "notify": notify,
                "request_id": request_id,
                "size": audience_size,
            },
        )
        assert isinstance(change, int)
        for email in add:
            self.connection.execute(
                text("""
                    INSERT INTO participants (event_id, person_id, email, since_change)
                    SELECT event_id, :person, :email, id FROM changes WHERE id = :change
                """),
                {"person": person_id(email), "email": email, "change": change},
            )
        for email in promote:
            self.connection.execute(
                text("INSERT INTO promotions (change_id, person_id) VALUES (:change, :person)"),
                {"change": change, "person": person_id(email)},
            )
        for email in remove:
            self.connection.execute(
                text("""
                    UPDATE participants SET until_change = :change FROM changes
                     WHERE changes.id = :change AND participants.event_id = changes.event_id
                       AND person_id = :person AND until_change IS NULL
                """),
                {"person": person_id(email), "change": change},
            )
        return change

    def tell(self, change: int, *people: str) -> list[UUID]:
        """Notifications of a change, without deliveries, in the order of the people; the change is fanned out then."""
        ids = [
            self.connection.scalar(
                text("INSERT INTO notifications (change_id, person_id) VALUES (:change, :person) RETURNING id"),
                {"change": change, "person": person_id(person)},
            )
            for person in people
        ]
        self.connection.execute(text("UPDATE changes SET fanned_out_at = now() WHERE id = :id"), {"id": change})
        return [each for each in ids if each is not None]

    def delivery(
        self,
        change: int | None,
        person: str,
        type: ChannelType = ChannelType.EMAIL,  # noqa: A002  # as the column
        state: State = State.PENDING,
        reason: Reason | None = None,
        *,
        tries: Sequence[tuple[Outcome, int | None, str | None]] = (),
        **columns: Any,
    ) -> UUID:
        """One delivery, by the channel without a row unless `channel_id` says otherwise, and what its tries came to."""
        values = {
            "change_id": change,
            "person_id": person_id(person),
            "channel_id": person_id(person),
            "type": type,
            "state": state,
            "reason": reason,
            "finished_at": None if state in (State.PENDING, State.FAILED) else func.clock_timestamp(),
            "tries": len(tries),
            "claims": 2 * len(tries),
        }
        made = self.connection.scalar(insert(deliveries).values(values | columns).returning(deliveries.c.id))
        assert isinstance(made, UUID)
        for number, (outcome, status, detail) in enumerate(tries, 1):
            attempt = {"number": 2 * number - 1, "outcome": outcome, "status": status, "detail": detail}
            times = {"finished_at": func.clock_timestamp(), "milliseconds": 12}
            self.connection.execute(insert(delivery_attempts).values(delivery_id=made, **attempt, **times))
        return made

    def told(self, change: int) -> list[str]:
        """The addresses of those who have a notification of that change, in order, each as often as they have one."""
        rows = self.connection.execute(
            text("SELECT person_id FROM notifications WHERE change_id = :change"), {"change": change}
        )
        names = {
            row.person_id: row.email
            for row in self.connection.execute(
                text("SELECT person_id, email FROM participants UNION SELECT person_id, email FROM accounts")
            )
        }
        return sorted(names[row.person_id] for row in rows)

    def pending(self) -> list[int]:
        """The changes that are not fanned out."""
        rows = self.connection.execute(text("SELECT id FROM changes WHERE fanned_out_at IS NULL ORDER BY id"))
        return list(rows.scalars())
