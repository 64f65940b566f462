"""`planner keys`: the keys that seal what users entrust."""

from collections.abc import Sequence
from typing import Any

import typer
from sqlalchemy import Connection, Row, text

from planner_common.cli.base import app, connect, console
from planner_common.cli.output import fail
from planner_common.models import metadata
from planner_common.sealing import Sealer, UnsealedError
from planner_common.settings import settings_or_exit

BATCH = 500
"""Rows sealed anew in one transaction: whoever changes one of them waits so long."""
SEALED = {"channels": "address", "idempotency_keys": "body"}
"""The columns that hold what is sealed, by table. That of a removed channel is empty."""

keys = typer.Typer(no_args_is_help=True, help="The keys that encrypt the addresses of channels.")
app.add_typer(keys, name="keys")


@keys.command()
def rotate() -> None:
    """Seal everything anew with the first of ENCRYPTION_KEYS, so that the others may be taken out of it.

    First put the new key in front and restart API and workers, which would go on sealing with the old one. Links in
    mails that were sent before are good for as long as the key they were signed with is listed. Exits with 1, and names
    the rows, if some can be opened with none of the keys. Doing it twice is harmless.
    """
    settings = settings_or_exit()
    try:
        sealer = Sealer(settings.encryption_keys)
    except ValueError as error:
        fail(f"{error}: there is nothing to seal with")
    unopened: list[str] = []
    with connect().connect() as connection:
        for table in SEALED:
            number, last = 0, None
            while rows := _batch(connection, table, last):
                number, last = number + _reseal(connection, table, rows, sealer, unopened), rows[-1]
                connection.commit()
            console.print(f"{table}: {number} sealed with the first key")
    if unopened:
        for row in unopened:
            console.print(f"  {row}", markup=False)
        fail(
            f"{len(unopened)} could be opened with none of the keys: keep all of them, and add the one that is missing"
        )
    console.print("the other keys may go, once no link in an older mail needs them")


def _key(table: str) -> list[str]:
    return [column.name for column in metadata.tables[table].primary_key]


def _batch(connection: Connection, table: str, last: Row[Any] | None) -> Sequence[Row[Any]]:
    """The next rows after the last, locked."""
    key, column = _key(table), SEALED[table]
    columns = ", ".join(key)
    after = f"AND ({columns}) > ({', '.join(f':{name}' for name in key)})" if last is not None else ""
    statement = f"""
        SELECT {columns}, {column} AS sealed FROM {table}
         WHERE {column} <> '' {after} ORDER BY {columns} LIMIT {BATCH} FOR UPDATE
    """
    return connection.execute(text(statement), {name: getattr(last, name) for name in key} if last else {}).all()


def _reseal(connection: Connection, table: str, rows: Sequence[Row[Any]], sealer: Sealer, unopened: list[str]) -> int:
    """How many it sealed anew. Those that it cannot open are added to `unopened`."""
    key = _key(table)
    values = []
    for row in rows:
        try:
            values.append({**{name: getattr(row, name) for name in key}, "sealed": sealer.reseal(row.sealed)})
        except UnsealedError:
            unopened.append(f"{table} {' '.join(str(getattr(row, name)) for name in key)}")
    if values:
        where = " AND ".join(f"{name} = :{name}" for name in key)
        connection.execute(text(f"UPDATE {table} SET {SEALED[table]} = :sealed WHERE {where}"), values)
    return len(values)
