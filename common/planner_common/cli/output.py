"""How commands show what they found: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.table import Table
from rich.text import Text

from planner_common.cli.base import console

UNCUT = {"id", "change"}
"""Columns that are there to be copied from."""


def as_json(value: Any) -> None:
    console.print_json(json.dumps(value, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def shown(value: Any) -> str:
    """A value as a cell has it: times in UTC, to the second; texts in one line, without what would steer a terminal."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def table(*columns: str, rows: Iterable[Iterable[Any]]) -> None:
    """A table on a terminal; elsewhere a line for each row, with tabs between, for `cut` and its like."""
    cells = [[shown(value) for value in row] for row in rows]
    if not console.is_terminal:
        for row in (columns, *cells):
            typer.echo("\t".join(row))
        return
    found = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in found.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in UNCUT
    for row in cells:
        found.add_row(*map(Text, row))  # what users wrote is no markup of Rich's
    console.print(found, soft_wrap=False)


def facts(values: Mapping[str, Any]) -> None:
    """One thing, a line for each fact."""
    width = max(map(len, values))
    for name, value in values.items():
        console.print(Text.assemble((f"{name:<{width}}  ", "bold"), shown(value)))


def fail(message: str) -> NoReturn:
    """Say what went wrong, and exit with 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)
