"""The exporter's session in PostgreSQL: kept from one scrape to the next, and made anew when it was lost."""

from collections.abc import Sequence
from typing import Any

import psycopg
from planner_common.libpq import BY_INDEX, KEEPALIVES, libpq_url, options, timeouts
from planner_common.settings import Settings
from psycopg.rows import namedtuple_row


class Session:
    """By psycopg alone: SQLAlchemy would be a third of the exporter's memory. Whatever it does raises psycopg.Error."""

    def __init__(self, settings: Settings, statement_seconds: float) -> None:
        self.url = libpq_url(settings)
        self.options = options({**timeouts(statement_seconds), **BY_INDEX})
        self.connection: psycopg.Connection[Any] | None = None

    def open(self) -> None:
        """Connect, unless there is a connection that answers."""
        if self.connection is not None:
            try:
                self.connection.execute("SELECT")
            except psycopg.Error:
                self.close()
            else:
                return
        self.connection = psycopg.connect(
            self.url,
            autocommit=True,  # nothing but SELECTs
            row_factory=namedtuple_row,
            application_name="planner-exporter",
            options=self.options,
            **KEEPALIVES,  # type: ignore[arg-type]  # libpq's numbers
        )

    def rows(self, statement: str) -> Sequence[Any]:
        """What the statement gives; the columns are attributes of each row."""
        assert self.connection is not None  # noqa: S101  # open() comes first
        return self.connection.execute(statement).fetchall()

    def row(self, statement: str) -> Any:
        """The only one."""
        (row,) = self.rows(statement)
        return row

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
