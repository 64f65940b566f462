"""`planner dead`: deliveries that were given up."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from sqlalchemy import Connection, text

from planner_common import replay as replaying
from planner_common.cli.base import WAKE, app, connect, console
from planner_common.cli.output import as_json, facts, fail, table
from planner_common.deliveries import ChannelType, Reason, State
from planner_common.explanations import BELONGS
from planner_common.replay import Wanted

BATCH = 1_000
"""Deliveries replayed in one transaction: workers and dispatchers get at the rows in between."""

REASONS = ", ".join(sorted(BELONGS[State.DEAD]))

dead = typer.Typer(no_args_is_help=True, help="Deliveries that were given up: look through them, replay them.")
app.add_typer(dead, name="dead")


def instant(value: str) -> datetime:
    """RFC 3339; without a zone, UTC."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no time, such as 2026-03-29T07:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def dead_reason(value: str) -> Reason:
    if value not in BELONGS[State.DEAD]:
        raise typer.BadParameter(f"a delivery is dead by one of: {REASONS}")
    return Reason(value)


Type = Annotated[ChannelType | None, typer.Option("--type", help="Only on channels of this type.")]
Why = Annotated[
    Reason | None, typer.Option("--reason", parser=dead_reason, metavar="REASON", help=f"One of: {REASONS}.")
]
EventId = Annotated[UUID | None, typer.Option("--event", help="Only about this event.")]
Person = Annotated[str | None, typer.Option("--person", metavar="EMAIL", help="Only to this person.")]
Since = Annotated[
    datetime | None, typer.Option(parser=instant, metavar="TIME", help="Only those given up at this time or later.")
]
Until = Annotated[
    datetime | None, typer.Option(parser=instant, metavar="TIME", help="Only those given up before this time.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def rows(connection: Connection, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    statement, values = replaying.listing(wanted, limit)
    return [replaying.plain(row) for row in connection.execute(statement, values).mappings()]


def about(delivery: dict[str, Any]) -> str:
    if delivery["event"] is None:
        return str(delivery["purpose"])
    return f"{delivery['kind']} “{delivery['event']['title']}”, revision {delivery['revision']}"


def answer(delivery: dict[str, Any]) -> str | None:
    last = delivery["last_answer"]
    if last is None:
        return None
    return " ".join(str(part) for part in (last["status"], last["detail"]) if part is not None) or last["outcome"]


@dead.command("list")
def list_dead(
    channel_type: Type = None,
    reason: Why = None,
    event: EventId = None,
    person: Person = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """List them, the newest first. Exits with 1 when there are none."""
    wanted = Wanted(type=channel_type, reason=reason, event=event, person=person, since=since, until=until)
    with connect().connect() as connection:
        found = rows(connection, wanted, limit)
    if json:
        as_json(found)
    elif found:
        columns = ("id", "given up", "channel", "reason", "person", "about", "last answer")
        cells = ((d["id"], d["finished_at"], d["type"], d["reason"], d["person"]["email"]) for d in found)
        table(*columns, rows=((*cell, about(d), answer(d)) for cell, d in zip(cells, found, strict=True)))
        if len(found) == limit:
            console.print(f"… the first {limit}; --limit shows more")
    else:
        console.print("no dead deliveries")
    raise typer.Exit(0 if found else 1)


@dead.command()
def show(delivery_id: Annotated[UUID, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Show one, whatever its state, with each of its tries."""
    with connect().connect() as connection:
        row = connection.execute(replaying.ONE, {"id": delivery_id}).mappings().one_or_none()
        attempts = [dict(each) for each in connection.execute(replaying.ATTEMPTS, {"id": delivery_id}).mappings()]
    if row is None:
        fail(f"{delivery_id}: {replaying.not_dead(None)}")
    found = replaying.plain(row)
    if json:
        as_json(found | {"attempts": attempts})
        return
    facts(
        {
            "id": found["id"],
            "state": found["state"] + (f" ({found['reason']})" if found["reason"] else ""),
            "channel": found["type"],
            "person": found["person"]["email"],
            "about": about(found),
            "event": found["event"] and found["event"]["id"],
            "made": found["created_at"],
            "due" if found["finished_at"] is None else "finished": found["finished_at"] or found["due_at"],
        }
    )
    if found["outcome_unknown"]:
        console.print("the answer to one of its tries was lost: it may have arrived then")
    columns = ("number", "started", "took", "outcome", "status", "what the other side said")
    table(*columns, rows=((a["number"], a["started_at"], took(a), *(a[n] for n in ANSWER)) for a in attempts))


ANSWER = ("outcome", "status", "detail")


def took(attempt: dict[str, Any]) -> str | None:
    return None if attempt["duration_ms"] is None else f"{attempt['duration_ms']} ms"


@dead.command("replay")
def replay_dead(
    delivery_ids: Annotated[list[UUID] | None, typer.Argument(metavar="ID")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that the options name; without any, all.")] = False,
    channel_type: Type = None,
    reason: Why = None,
    event: EventId = None,
    person: Person = None,
    since: Since = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Give them another try, under the ids that they have: what no longer matters is not sent after all.

    Exits with 1 when nothing was replayed, or not all of the ids given.
    """
    filters = (channel_type, reason, event, person, since, until)
    if every == bool(delivery_ids):
        raise typer.BadParameter("give the ids of deliveries, or --all")
    if delivery_ids and any(given is not None for given in filters):
        raise typer.BadParameter("options that name deliveries go with --all, not with ids")
    if delivery_ids:
        replay_each(delivery_ids, json=json)
    wanted = Wanted(type=channel_type, reason=reason, event=event, person=person, since=since, until=until)
    replay_every(wanted, json=json)


def replay_each(delivery_ids: list[UUID], *, json: bool) -> NoReturn:
    replayed: set[UUID] = set()
    refused = {}
    engine = connect()
    for delivery in delivery_ids:
        with engine.begin() as connection:
            found = connection.execute(*replaying.replaying(delivery, None)).scalars().all()
            connection.execute(WAKE)
            replayed.update(found)
            if delivery not in replayed:  # or went out in the same digest as one before it
                refused[str(delivery)] = replaying.not_dead(connection.scalar(replaying.STATE, {"id": delivery}))
    if json:
        as_json({"replayed": len(replayed), "refused": refused})
    else:
        console.print(f"{len(replayed)} replayed")
        for delivery_id, why in refused.items():
            typer.echo(f"{delivery_id}: {why}", err=True)
    raise typer.Exit(1 if refused else 0)


def replay_every(wanted: Wanted, *, json: bool) -> NoReturn:
    replayed = 0
    engine = connect()
    with engine.connect() as connection:
        now = connection.scalar(text("SELECT clock_timestamp()"))
    # What dies again while this goes on is left for another time: it would never end.
    wanted = replace(wanted, until=min(wanted.until, now) if wanted.until else now)
    more = True
    while more:
        with engine.begin() as connection:
            row = connection.execute(*replaying.replaying_some(wanted, None, BATCH)).one()
            connection.execute(WAKE)
        replayed, more = replayed + row.replayed, row.more
    if json:
        as_json({"replayed": replayed})
    else:
        console.print(f"{replayed} replayed")
    raise typer.Exit(0 if replayed else 1)
