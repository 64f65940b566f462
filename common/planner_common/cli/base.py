"""What all of `planner`'s commands share."""

import typer
from rich.console import Console
from sqlalchemy import Engine, text

from planner_common.database import make_engine
from planner_common.messages import Channel
from planner_common.settings import settings_or_exit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Planner's operator commands.",
)
console = Console(soft_wrap=True)
WAKE = text(f"SELECT pg_notify('{Channel.CHANGES}', '')")
"""Executed in a transaction that leaves something to be sent, it wakes the dispatcher at the commit."""


def connect() -> Engine:
    """The database that the settings name."""
    return make_engine(settings_or_exit(), "planner-cli")


@app.callback()
def main_options() -> None:
    """Planner's operator commands. The database is the one that DATABASE_URL or DATABASE_URL_FILE names."""
