"""A scrape reads the beginnings of the indexes that are meant for it, whatever PostgreSQL's statistics say."""

import re
from collections.abc import Iterator

import pytest
from planner_common.database import make_engine
from planner_common.libpq import BY_INDEX
from planner_common.settings import Settings
from planner_common.vitals import BACKLOG, SEEN
from sqlalchemy import Connection, text

from common.tests.domain import Domain

ROWS = 20_000
MEANT = {
    BACKLOG: {"ix_changes_due", "ix_deliveries_due"},
    SEEN: {"ix_deliveries_dead", "ix_deliveries_outcome_unknown", "ix_changes_held_at"},
}


@pytest.fixture
def exporters(settings: Settings) -> Iterator[Connection]:
    """A session as the exporter has it."""
    engine = make_engine(settings, "tests", session=BY_INDEX)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def fill(connection: Connection, *, due: bool) -> None:
    event = Domain(connection).event("ann@example.org")
    connection.execute(
        text("""
            INSERT INTO changes (event_id, revision, kind, audience_size, fanned_out_at)
            SELECT :event, number, 'update', 0, CASE WHEN NOT :due THEN now() END
              FROM generate_series(2, CAST(:rows AS int)) number
        """),
        {"event": event.id, "due": due, "rows": ROWS},
    )
    if not due:
        connection.exec_driver_sql("UPDATE changes SET fanned_out_at = now() WHERE fanned_out_at IS NULL")
    connection.execute(
        text("""
            INSERT INTO deliveries (person_id, channel_id, type, lane, state, finished_at)
            SELECT uuidv7(), uuidv7(), 'email', number % 3, CASE WHEN :due THEN 'failed' ELSE 'sent' END,
                   CASE WHEN NOT :due THEN now() END
              FROM generate_series(1, CAST(:rows AS int)) number
        """),
        {"due": due, "rows": ROWS},
    )


@pytest.mark.parametrize("before", [True, False, None], ids=["all was due", "nothing was due", "no statistics"])
@pytest.mark.parametrize("statement", list(MEANT), ids=["backlog", "seen"])
def test_plans(connection: Connection, exporters: Connection, before: bool | None, statement: str) -> None:
    if before is not None:
        fill(connection, due=before)
        connection.exec_driver_sql("VACUUM ANALYZE changes, deliveries")
    fill(connection, due=not before)
    plan = "\n".join(exporters.execute(text(f"EXPLAIN {statement}")).scalars())
    assert set(re.findall(r"Scan using (\w+)", plan)) == MEANT[statement], plan
    assert not re.search("Sort|Bitmap|Seq Scan", plan), plan
