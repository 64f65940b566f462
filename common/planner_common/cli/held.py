"""`planner held`: changes that the brake keeps back."""

from typing import Annotated

import typer

from planner_common import held as holding
from planner_common.cli.base import WAKE, app, connect, console
from planner_common.cli.dead import Json
from planner_common.cli.output import as_json, fail, table
from planner_common.held import Decision

held = typer.Typer(no_args_is_help=True, help="Changes that wait for an approval, since they reach so many people.")
app.add_typer(held, name="held")

ChangeId = Annotated[int, typer.Argument(metavar="CHANGE", min=0, max=2**63 - 1)]
MOST = 1_000


@held.command("list")
def list_held(json: Json = False) -> None:
    """List them, the oldest first. Exits with 1 when there are none."""
    with connect().connect() as connection:
        values = {"since": None, "after": 0, "limit": MOST}
        found = [dict(row) for row in connection.execute(holding.LIST, values).mappings()]
    if json:
        as_json(found)
    elif found:
        columns = ("change", "held since", "people", "made by", "what", "event")
        cells = ((c["id"], c["held_at"], c["people"], c["actor_email"], c["kind"], c["title"]) for c in found)
        table(*columns, rows=cells)
        if len(found) == MOST:
            console.print(f"… the first {MOST}")
    else:
        console.print("nothing is held")
    raise typer.Exit(0 if found else 1)


@held.command()
def approve(change: ChangeId) -> None:
    """Let a change go: its people are told."""
    decide(change, Decision.APPROVED)


@held.command()
def reject(change: ChangeId) -> None:
    """Keep a change from being told. It stays made."""
    decide(change, Decision.REJECTED)


def decide(change: int, decision: Decision) -> None:
    with connect().begin() as connection:
        row = connection.execute(holding.DECIDE, holding.deciding(change, decision, None)).one_or_none()
        connection.execute(WAKE)
    if row is None or not row.decided:
        fail(f"change {change}: {holding.undecidable(row)}")
    console.print(f"change {change} {decision}")
