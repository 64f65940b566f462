"""`planner`: what an operator types."""

import json
import sys
import time
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, OperationalError

from planner_common import audit as auditing
from planner_common import schema
from planner_common.database import make_engine
from planner_common.settings import settings_or_exit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Planner's operator commands.",
)
console = Console(soft_wrap=True)


def _engine() -> Engine:
    return make_engine(settings_or_exit(), "planner-cli")


@app.callback()
def main_options() -> None:
    """Planner's operator commands. The database is the one that DATABASE_URL or DATABASE_URL_FILE names."""


@app.command()
def migrate() -> None:
    """Bring the database to the version that this code needs. Doing it twice, or twice at once, is harmless."""
    with _engine().begin() as connection:
        before = schema.version(connection)
        schema.migrate(connection)
    after = schema.head()
    console.print(f"database at {after}" + (f", from {before or 'nothing'}" if before != after else ", as before"))


@app.command(hidden=True)
def revision(message: str) -> None:
    """Developers: write the migration from what the database has to what the models say."""
    with _engine().connect() as connection:
        schema.make_revision(connection, message)


@app.command()
def audit(
    since: Annotated[str, typer.Option(help="Only changes at or after this instant.")] = "-infinity",
    wait: Annotated[float, typer.Option(help="Seconds to wait until no change is pending.")] = 0,
    stuck: Annotated[float, typer.Option(help="Seconds after which a pending change is a fault.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check that every change has exactly the notifications that are due; if not, list the faults and exit 1."""
    engine = _engine()
    deadline = time.monotonic() + wait
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while auditing.pending(connection)[0] and time.monotonic() < deadline:
            time.sleep(0.1)
    try:
        with engine.connect() as connection:
            found = auditing.audit(connection, since)
    except DataError:
        raise typer.BadParameter(f"{since!r} is no instant that PostgreSQL knows", param_hint="--since") from None
    ok = found.ok(timedelta(seconds=stuck))
    if as_json:
        console.print_json(
            json.dumps(
                {
                    "ok": ok,
                    "events": found.events,
                    "changes": found.changes,
                    "notifications": found.notifications,
                    "pending": found.pending,
                    "oldest_pending_seconds": found.oldest_pending.total_seconds(),
                    "missing": found.missing_count,
                    "extra": found.extra_count,
                    "missing_first": [{"change": change, "person": str(person)} for change, person in found.missing],
                    "extra_first": [{"change": change, "person": str(person)} for change, person in found.extra],
                }
            )
        )
    else:
        console.print(
            f"{found.events} events, {found.changes} changes, {found.notifications} notifications: "
            f"{found.missing_count} missing, {found.extra_count} extra, {found.pending} changes pending"
        )
        for label, number, pairs in (
            ("missing", found.missing_count, found.missing),
            ("extra", found.extra_count, found.extra),
        ):
            for change, person in pairs:
                console.print(f"  {label}: change {change}, person {person}")
            if number > len(pairs):
                console.print(f"  … and {number - len(pairs)} more {label}")
        if found.oldest_pending >= timedelta(seconds=stuck):
            console.print(f"  stuck: the oldest pending change has waited {found.oldest_pending}")
        console.print("[green]everything due is there, once[/green]" if ok else "[red]not as it should be[/red]")
    raise typer.Exit(0 if ok else 1)


def main() -> None:
    try:
        app()
    except OperationalError as error:
        # Not 1: a database that cannot be asked says nothing of what is in it.
        sys.stderr.write(f"PostgreSQL cannot be asked: {error.orig}\n")
        sys.exit(75)  # EX_TEMPFAIL of sysexits.h
