"""`planner user`: accounts, and which of them are admins."""

from typing import Annotated

import typer

from planner_common import admins as appointing
from planner_common.cli.base import app, connect, console
from planner_common.cli.dead import Json
from planner_common.cli.output import as_json, fail, table
from planner_common.people import normalize_email

user = typer.Typer(no_args_is_help=True, help="Accounts, and which of them are admins.")
app.add_typer(user, name="user")


@user.command()
def admin(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    revoke: Annotated[bool, typer.Option("--revoke", help="Make it an account like any other.")] = False,
) -> None:
    """Make an account an admin, at once. Doing it twice is harmless."""
    address = normalize_email(email)
    with connect().begin() as connection:
        row = connection.execute(appointing.APPOINT, {"email": address, "admin": not revoke}).one_or_none()
    if row is None:
        fail(f"{address}: no account has this address")
    console.print(f"{address} is {'no admin' if revoke else 'an admin'}" + ("" if row.changed else ", as before"))


@user.command("list")
def list_users(
    admins: Annotated[bool, typer.Option("--admins", help="Only admins.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 1_000,
    json: Json = False,
) -> None:
    """List accounts, by address. Exits with 1 when there are none."""
    with connect().connect() as connection:
        found = [
            dict(row) for row in connection.execute(appointing.LIST, {"admins": admins, "limit": limit}).mappings()
        ]
    if json:
        as_json(found)
    elif found:
        table(
            "address", "name", "admin", "since",
            rows=((a["email"], a["name"], "yes" if a["admin"] else "", a["created_at"]) for a in found),
        )  # fmt: skip
    else:
        console.print("no admins" if admins else "no accounts")
    raise typer.Exit(0 if found else 1)
