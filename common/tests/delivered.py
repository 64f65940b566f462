"""A log whose notifications and deliveries are as they should be, written as the workers write them."""

from collections.abc import Iterable
from uuid import UUID

from planner_common.audit import Findings, audit
from planner_common.changes import AUDIENCE, Kind
from planner_common.deliveries import ROUTED, ChannelType
from planner_common.people import person_id
from sqlalchemy import Connection, Engine, text

from common.tests.domain import Domain

ANN, BOB, CAT, DAN = (f"{name}@example.org" for name in ("ann", "bob", "cat", "dan"))

FAN_OUT = text(f"""
    WITH due AS (
        SELECT id, event_id, kind, actor, notify FROM changes WHERE fanned_out_at IS NULL AND held_at IS NULL
    ), told AS (
        INSERT INTO notifications (change_id, person_id)
        SELECT change_id, person_id FROM ({AUDIENCE}) a ON CONFLICT DO NOTHING RETURNING change_id, person_id
    ), delivery AS (
        INSERT INTO deliveries (change_id, person_id, channel_id, type)
        SELECT change_id, person_id, channel_id, type FROM ({ROUTED}) r ON CONFLICT DO NOTHING
    )
    UPDATE changes SET fanned_out_at = now(), email_on = :email_on FROM due WHERE changes.id = due.id
""")


def fan_out(connection: Connection, *, email_on: bool = True) -> None:
    connection.execute(FAN_OUT, {"email_on": email_on})


def route(
    connection: Connection,
    person: str,
    kinds: Iterable[str],
    *,
    type: ChannelType = ChannelType.EMAIL,  # noqa: A002  # as the column
    channel: UUID | None = None,
    since: str = "-1 hour",
    until: str | None = None,
    base: str = "now",
) -> UUID:
    """One route, in force from and until then, as intervals from now, or from another instant. Returns its channel: the
    person's own e-mail, or, for another type, a new one."""
    found = connection.scalar(
        text("""
            INSERT INTO routes (person_id, channel_id, type, kinds, since, until)
            VALUES (:person, COALESCE(:channel, CASE WHEN :type = 'email' THEN :person ELSE uuidv7() END), :type,
                    :kinds, CAST(:base AS timestamptz) + CAST(:since AS interval),
                    CAST(:base AS timestamptz) + CAST(:until AS interval))
            RETURNING channel_id
        """),
        {
            "person": person_id(person),
            "channel": channel,
            "type": type,
            "kinds": list(kinds),
            "since": since,
            "until": until,
            "base": base,
        },
    )
    assert isinstance(found, UUID)
    return found


def send(connection: Connection) -> None:
    """Every delivery that is not finished is accepted at its first try."""
    connection.execute(
        text("""
            WITH sent AS (
                UPDATE deliveries SET state = 'sent', claims = 1, tries = 1, finished_at = clock_timestamp()
                 WHERE finished_at IS NULL RETURNING id, claims
            )
            INSERT INTO delivery_attempts (delivery_id, number, started_at, finished_at, outcome)
            SELECT id, claims, now(), now(), 'accepted' FROM sent
        """)
    )


def log(connection: Connection) -> Domain:
    """Three changes: to Bob and Cat, to Ann and to both again. Bob has a webhook too; Cat wants no mail of updates."""
    domain = Domain(connection)
    route(connection, BOB, ["invitation", "update"], type=ChannelType.WEBHOOK)
    route(connection, CAT, ["invitation"])
    event = domain.event(ANN, BOB, CAT)
    domain.change(event, Kind.RESPONSE, actor=BOB)
    domain.change(event, Kind.UPDATE, actor=ANN)
    fan_out(connection)
    return domain


def break_it(connection: Connection, statement: str) -> None:
    """Change one row of what `log` wrote. The statement may name its first and last change, people, and the delivery of
    the first change by mail to Bob."""
    first, last = connection.execute(text("SELECT min(id), max(id) FROM changes")).one()
    delivery = connection.scalar(
        text("SELECT id FROM deliveries WHERE (change_id, channel_id) = (:first, :bob)"),
        {"first": first, "bob": person_id(BOB)},
    )
    people = {name: person_id(address) for name, address in (("bob", BOB), ("cat", CAT), ("dan", DAN))}
    done = connection.execute(text(statement), {"first": first, "last": last, "delivery": delivery, **people})
    assert done.rowcount == 1


def look(engine: Engine, since: str = "-infinity") -> Findings:
    with engine.connect() as connection:
        return audit(connection, since)


def faults(engine: Engine, since: str = "-infinity") -> dict[str, int]:
    """The invariants that do not hold, and how often."""
    return {name.value: number for name, number in look(engine, since).violations.items() if number}
