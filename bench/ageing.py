"""`python -m bench.ageing [ROWS …]`: does anything get slower as the tables grow? A database of its own for each size.

People have some 100 notifications each, of changes that are told to ten people, spread over 400 days; every fifth went
out by mail. Measured is what PostgreSQL takes for what people and workers ask: a page of an inbox, the count of what is
unread, a fan-out to 10,000, and batches of pruning; then how large the tables are after a tenth was pruned and as much
was written again.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from planner_api.routes.notifications import NEWEST
from planner_common import schema
from planner_common.database import make_engine
from planner_common.settings import Settings
from planner_local.servers import Postgres, free_port
from planner_worker.pruning import BATCH, aged, events
from planner_worker.tasks.fan_out import statement
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, text

DAYS = 400
CHUNKS = 20
TIMES = 200
FAN_OUTS = 5
BATCHES = 20
PEOPLE = """
    INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
    SELECT md5(n::text)::uuid, n || '@example.org', 'Ann', 'UTC', 'en', '' FROM generate_series(0, :people - 1) n
"""
EVENTS = """
    INSERT INTO events (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at, revision)
    SELECT n::text, (SELECT id FROM accounts WHERE email = (n % :people) || '@example.org'), 'Dinner', true,
           '2030-05-01', '2030-05-02', '2030-05-01', '2030-05-02', 20
      FROM generate_series(1, :events) n
"""
PARTICIPANTS = """
    INSERT INTO participants (event_id, person_id, email, since_change)
    SELECT e.id, md5(((e.uid::bigint * 10 + k) % :people)::text)::uuid, k || '@example.org', 0
      FROM events e CROSS JOIN generate_series(0, 9) k
"""
CHANGES = """
    INSERT INTO changes (event_id, revision, kind, at, fanned_out_at, audience_size, email_on)
    SELECT e.id, r, 'update', at, at, 10, true
      FROM generate_series(1, 20) r CROSS JOIN events e
     CROSS JOIN LATERAL (
         SELECT now() - make_interval(days => :days) * (1 - ((r - 1) * :events + e.uid::float) / (20 * :events)) AS at
     ) moment
     ORDER BY r, e.uid::bigint
"""
NOTIFICATIONS = """
    INSERT INTO notifications (person_id, id, change_id, created_at, read_at)
    SELECT p.person_id, uuidv7(c.fanned_out_at - now()), c.id, c.fanned_out_at,
           CASE WHEN c.id % 10 > 0 THEN c.fanned_out_at END
      FROM changes c JOIN participants p ON p.event_id = c.event_id
     WHERE c.id > :after AND c.id <= :until ORDER BY c.id
"""
DELIVERIES = """
    WITH made AS (
        INSERT INTO deliveries (id, change_id, person_id, channel_id, type, state, finished_at, created_at, claims)
        SELECT uuidv7(c.fanned_out_at - now()), c.id, p.person_id, p.person_id, 'email', 'sent',
               c.fanned_out_at + interval '1 second', c.fanned_out_at, 1
          FROM changes c JOIN participants p ON p.event_id = c.event_id
         WHERE c.id > :after AND c.id <= :until AND c.id % 5 = 0 ORDER BY c.id
        RETURNING id, finished_at
    )
    INSERT INTO delivery_attempts (delivery_id, number, started_at, finished_at, outcome)
    SELECT id, 1, finished_at, finished_at, 'accepted' FROM made
"""
CROWD = """
    WITH event AS (
        INSERT INTO events (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at)
        SELECT 'crowd' || uuidv7(), id, 'Concert', true, '2030-05-01', '2030-05-02', '2030-05-01', '2030-05-02'
          FROM accounts LIMIT 1 RETURNING id
    ), change AS (
        INSERT INTO changes (event_id, revision, kind, audience_size) SELECT id, 1, 'creation', 10000 FROM event
        RETURNING id, event_id
    ), people AS (
        INSERT INTO participants (event_id, person_id, email, since_change)
        SELECT event_id, md5((n * 7 % :people)::text)::uuid, n || '@example.org', change.id
          FROM change CROSS JOIN generate_series(1, 10000) n ON CONFLICT DO NOTHING
    )
    SELECT id FROM change
"""
SIZES = """
    SELECT relname, pg_table_size(oid) / 1e6 AS table_mb, pg_indexes_size(oid) / 1e6 AS index_mb FROM pg_class
     WHERE relname IN ('notifications', 'deliveries', 'delivery_attempts', 'changes') ORDER BY relname
"""
TABLES = ("notifications", "deliveries", "delivery_attempts", "changes", "participants", "events", "accounts")


@contextmanager
def database() -> Iterator[Connection]:
    with (
        tempfile.TemporaryDirectory(prefix="planner-bench-") as folder,
        Postgres(Path(folder) / "postgres", free_port(), "bench", durable=False) as server,
    ):
        server.make_database()
        engine = make_engine(Settings(database_url=server.url()), "bench", statement_seconds=0)
        with engine.begin() as connection:
            schema.migrate(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection
        engine.dispose()


def fill(connection: Connection, rows: int) -> None:
    values = {"people": max(10_000, rows // 100), "events": rows // 200, "days": DAYS}
    for sql in (PEOPLE, EVENTS, PARTICIPANTS, CHANGES):
        connection.execute(text(sql), values)
    connection.execute(text("ANALYZE"))
    step = rows // 10 // CHUNKS
    for chunk in range(CHUNKS):
        bounds = {"after": chunk * step, "until": (chunk + 1) * step}
        connection.execute(text(NOTIFICATIONS), bounds)
        connection.execute(text(DELIVERIES), bounds)
    for table in TABLES:
        connection.execute(text(f"VACUUM (ANALYZE) {table}"))
    connection.execute(text("CHECKPOINT"))


class Meter:
    """What one connection costs PostgreSQL: processor time, and pages touched, which no other load changes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.process = psutil.Process(connection.scalar(text("SELECT pg_backend_pid()")))

    def read(self) -> tuple[float, int]:
        self.connection.execute(text("SELECT pg_stat_force_next_flush()"))
        pages = self.connection.scalar(text("SELECT sum(hits + reads) FROM pg_stat_get_backend_io(pg_backend_pid())"))
        times = self.process.cpu_times()
        return float(times.user + times.system) * 1000, int(pages or 0)

    def measured(self, what: Callable[[], Any], times: int) -> str:
        """Milliseconds of the processor and pages, on average. The first ones, which find nothing in memory, count."""
        before = self.read()
        for _ in range(times):
            what()
        after = self.read()
        return f"{(after[0] - before[0]) / times:.2f} ms, {(after[1] - before[1]) / times:,.0f} pages"


def sizes(connection: Connection) -> dict[str, float]:
    return {row.relname: row.table_mb + row.index_mb for row in connection.execute(text(SIZES))}


def measure(connection: Connection, rows: int) -> dict[str, str]:
    people = max(10_000, rows // 100)
    draw = iter(range(1, 10**9))

    def person() -> dict[str, Any]:
        number = next(draw) * 7919 % people
        return {"person_id": connection.scalar(text("SELECT md5(:n)::uuid"), {"n": str(number)})}

    meter = Meter(connection)
    readers = [person() for _ in range(TIMES)]
    waiting = iter(readers)
    found = {}
    page = {"before": None, "limit": 51}
    found["a page of 50 of an inbox"] = meter.measured(
        lambda: connection.execute(NEWEST, next(waiting) | page).all(), TIMES
    )
    waiting = iter(readers)
    unread = text("SELECT count(*) FROM notifications WHERE person_id = :person_id AND read_at IS NULL")
    found["the unread count"] = meter.measured(lambda: connection.scalar(unread, next(waiting)), TIMES)
    crowds = iter([connection.scalar(text(CROWD), {"people": people}) for _ in range(FAN_OUTS)])
    tell = statement(delivering=True)

    def fan_out() -> None:
        connection.execute(tell, {"change_ids": [next(crowds)], "email_on": True}).one()

    found["fan-out to 10,000, with mails"] = meter.measured(fan_out, FAN_OUTS)
    before = sizes(connection)
    age = (DAYS * 0.9) * aged.DAY  # a tenth is older
    newest = connection.scalar(aged.NEWEST_CHANGE, {"age": age})
    values: dict[str, Any] = {"batch": BATCH, "after": 0, "newest": newest, "age": age}
    found[f"a batch of {BATCH:,} notifications pruned"] = prune(meter, connection, aged.NOTIFICATIONS, values)
    now = connection.execute(aged.NOW).scalar_one()
    values = {
        "batch": BATCH,
        "after": aged.FIRST_ID,
        "newest": aged.made_before(now, age),
        "finished": age,
        "dead": None,
    }
    found[f"a batch of {BATCH:,} deliveries with their tries"] = prune(meter, connection, aged.DELIVERIES, values)
    found["a run that finds nothing to prune"] = meter.measured(lambda: nothing(connection), 20)
    for table in TABLES:
        connection.execute(text(f"VACUUM {table}"))
    # As much again as was pruned, as new.
    step = rows // 100
    connection.execute(
        text(NOTIFICATIONS.replace("c.id,", ":moved + c.id,", 1)), {"after": 0, "until": step, "moved": 10**9}
    )
    after = sizes(connection)
    growth = {table: after[table] / before[table] - 1 for table in ("notifications", "deliveries")}
    found["size of notifications, with indexes"] = f"{before['notifications']:,.0f} MB"
    found["after pruning a tenth and writing it anew"] = f"{growth['notifications']:+.1%}"
    waiting = iter(readers)
    found["a page of 50 then"] = meter.measured(lambda: connection.execute(NEWEST, next(waiting) | page).all(), TIMES)
    return found


def prune(meter: Meter, connection: Connection, batch: Any, values: dict[str, Any]) -> str:
    """Batches until nothing is left; of the last ones, too, which have most dead rows behind them."""
    spent: list[tuple[float, int]] = []
    while True:
        before = meter.read()
        row = connection.execute(batch, values).one()
        if row.rows < values["batch"]:
            break
        after = meter.read()
        spent.append((after[0] - before[0], after[1] - before[1]))
        values["after"] = row.after
    if not spent:
        return "-"
    last = statistics.mean(pages for _, pages in spent[-(len(spent) // 4 or 1) :])
    milliseconds, pages = (statistics.mean(each) for each in zip(*spent, strict=True))
    return f"{milliseconds:.0f} ms, {pages:,.0f} pages (the last quarter of {len(spent)}: {last:,.0f})"


def nothing(connection: Connection) -> None:
    values = {"deleted": aged.DAY, "ended": None, "canary": aged.FIRST_ID, "canary_age": 0, "most": events.EVENTS}
    connection.execute(events.MARK, values)
    age = DAYS * aged.DAY
    newest = connection.scalar(aged.NEWEST_CHANGE, {"age": age})
    connection.execute(aged.NOTIFICATIONS, {"batch": BATCH, "after": 0, "newest": newest, "age": age})


def main() -> None:
    found: dict[int, dict[str, str]] = {}
    for rows in [int(given) for given in sys.argv[1:]] or [1_000_000, 10_000_000]:
        with database() as connection:
            began = time.monotonic()
            fill(connection, rows)
            filled = time.monotonic() - began
            found[rows] = measure(connection, rows) | {"seconds to fill": f"{filled:.0f}"}
    shown = Table("on average", *(f"{rows:,}" for rows in found))
    for what in next(iter(found.values())):
        shown.add_row(what, *(each[what] for each in found.values()))
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
