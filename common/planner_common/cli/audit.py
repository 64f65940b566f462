"""`planner audit`."""

import json
import sys
import time
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, ProgrammingError

from planner_common import audit as auditing
from planner_common.audit import Findings, Information, Invariant
from planner_common.cli.base import app, connect, console
from planner_common.cli.output import shown

UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h
LISTED = 20


@app.command()
def audit(
    since: Annotated[str, typer.Option(help="Only changes at or after this instant.")] = "-infinity",
    event: Annotated[UUID | None, typer.Option(help="Only this event.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait until no change is pending and no delivery is due.")] = 0,
    stuck: Annotated[float, typer.Option(help="Seconds after which what is due is a fault.")] = 60,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Name every row, not only the first {LISTED} of each kind.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check that every change has exactly the notifications and deliveries that are due, and that nothing is stuck.

    Exits with 0 if so, 1 if there are faults, which are named, and 75 if the database cannot be asked.
    """
    engine = connect()
    try:
        _wait(engine, wait)
        with engine.connect() as connection:
            auditing.begin(connection)
            if event and not connection.scalar(text("SELECT 1 FROM events WHERE id = :event"), {"event": event}):
                raise typer.BadParameter(f"there is no event {event}", param_hint="--event")
            found = auditing.look(
                connection,
                since,
                None if everything else LISTED,
                event=event,
                stuck=timedelta(seconds=stuck),
            )
    except DataError:
        raise typer.BadParameter(f"{since!r} is no instant that PostgreSQL knows", param_hint="--since") from None
    except ProgrammingError as error:
        # Not 1: a database that cannot be asked says nothing of what is in it.
        sys.stderr.write(f"the database is not at the version of this code (planner migrate): {error.orig}\n")
        raise typer.Exit(UNAVAILABLE) from None
    if as_json:
        console.print_json(json.dumps(found.as_json()))
    else:
        _print(found)
    raise typer.Exit(0 if found.ok else 1)


def _wait(engine: Engine, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while time.monotonic() < deadline and auditing.waiting(connection):
            time.sleep(0.1)


def _print(found: Findings) -> None:
    console.print(
        f"{found.events} events, {found.changes} changes, {found.notifications} notifications: "
        f"{found.missing_count} missing, {found.extra_count} extra, {found.pending} changes pending"
    )
    states = "".join(f", {number} {state}" for state, number in found.states.items())
    console.print(f"{found.deliveries} deliveries{states}; {found.due} due now")
    for name, at in found.horizons.items():
        console.print(f"{name} of changes told before {shown(at)} may be pruned: not looked at")
    for invariant, number in found.violations.items():
        if number:
            _name(found, invariant, number)
    for known, number in found.information.items():
        if number:
            _name(found, known, number)
    console.print("[green]everything due is there, once[/green]" if found.ok else "[red]not as it should be[/red]")


def _name(found: Findings, kind: Invariant | Information, number: int) -> None:
    fault = isinstance(kind, Invariant)
    console.print(f"  {kind}: {number}" + ("" if fault else " (no fault)"), style="red" if fault else None)
    for row in (named := found.named[kind]):
        console.print(f"    {row}")
    if number > len(named):
        console.print(f"    … and {number - len(named)} more")
