"""`planner audit`."""

import json
import time
from datetime import timedelta
from typing import Annotated

import typer
from sqlalchemy.exc import DataError

from planner_common import audit as auditing
from planner_common.cli.base import app, connect, console


@app.command()
def audit(
    since: Annotated[str, typer.Option(help="Only changes at or after this instant.")] = "-infinity",
    wait: Annotated[float, typer.Option(help="Seconds to wait until no change is pending.")] = 0,
    stuck: Annotated[float, typer.Option(help="Seconds after which a pending change is a fault.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check that every change has exactly the notifications that are due; if not, list the faults and exit 1."""
    engine = connect()
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
