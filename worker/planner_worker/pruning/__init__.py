"""Pruning: rows past their use go, in batches, each a transaction of its own that holds no lock for long.

A module for each reason to go: `expired` (what has an end of its own), `events` (what belongs to an event that is
gone), `aged` (what is older than the settings say). Two at once skip each other's rows. And, since it goes through old
rows likewise, `ends`.
"""

import time
from collections import Counter
from typing import Any

from planner_common.settings import Settings
from sqlalchemy import Connection, TextClause

BATCH = 5_000
"""Rows deleted by one statement: a tenth of a second's work."""
RUN_SECONDS = 20.0
"""After so long a run begins no other batch: the queue is for others too. The next run goes on where it ended."""


class Run:
    """One run: what it has deleted so far, and whether there is time for more."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        """In which each statement is a transaction of its own."""
        self.settings = settings
        self.pruned: Counter[str] = Counter()
        self._until = time.monotonic() + RUN_SECONDS

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def batches(self, table: str, statement: TextClause, **values: Any) -> None:
        """Execute it until it finds nothing, or time is over.

        It answers with a row: `rows`, how many it deleted, and `after`, what the next batch binds to go on from there.
        That spares each batch the look at what the ones before have left behind, on purpose or as dead index entries.
        """
        while not self.is_over:
            row = self.connection.execute(statement, {"batch": BATCH, **values}).one()
            if not row.rows:
                return
            self.pruned[table] += row.rows
            values["after"] = row.after
