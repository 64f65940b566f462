"""PostgreSQL: there, safe, and with room."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, text

from planner_common.database import make_engine
from planner_common.doctor.examination import Group
from planner_common.doctor.verdicts import Verdict, by_size, failed, ok, warning
from planner_common.libpq import BY_INDEX
from planner_common.settings import Settings
from planner_common.vitals import DATABASE

STATEMENT_SECONDS = 5
CLOCK_WARNS, CLOCK_FAILS = 1.0, 10.0
"""Seconds that two clocks may be apart: tokens, leases and what is due go by them."""
FULL_WARNS, FULL_FAILS = 0.8, 0.95
DISK_WARNS, DISK_FAILS = 0.9, 0.97
XID_WARNS, XID_FAILS = 500_000_000, 1_500_000_000
"""PostgreSQL stops writing at some 2,100,000,000; autovacuum works from 200,000,000 on."""
IDLE_SECONDS = 60
LONG_SECONDS = 3600
DEAD_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """The database, and by which settings it was found."""

    connection: Connection
    settings: Settings


@contextmanager
def _open(settings: Settings) -> Iterator[Asked]:
    engine = make_engine(settings, "planner-doctor", statement_seconds=STATEMENT_SECONDS, session=BY_INDEX)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield Asked(connection, settings)
    finally:
        engine.dispose()


group = Group("PostgreSQL", "start PostgreSQL, and compare DATABASE_URL with its address, user and password", _open)


@group.check("database")
def reachable(asked: Asked) -> Verdict:
    row = asked.connection.execute(
        text("""
            SELECT current_setting('server_version') AS version, current_database() AS name,
                   current_setting('transaction_read_only') = 'on' AS read_only
        """)
    ).one()
    found = f"PostgreSQL {row.version}, database {row.name}"
    if row.read_only:
        return failed(f"{found}, which takes no writes", "let DATABASE_URL name the primary, with no read-only default")
    return ok(found)


@group.check("database clock")
def clock(asked: Asked) -> Verdict:
    before = datetime.now(UTC)
    there = asked.connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    apart = abs((there - before - (datetime.now(UTC) - before) / 2).total_seconds())
    advice = "set the clocks by NTP, on this machine and on PostgreSQL's"
    return by_size(apart, f"{apart:.2f} s from ours", advice, warns=CLOCK_WARNS, fails=CLOCK_FAILS)


@group.check("database durability")
def durability(asked: Asked) -> Verdict:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    statement = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
    settings = {row.name: row.setting for row in asked.connection.execute(statement, {"names": list(names)})}
    found = ", ".join(f"{name} {settings[name]}" for name in names)
    if off := [name for name in names if settings[name] == "off"]:
        return failed(
            f"{found}: a crash loses what was answered, or the database", f"set {', '.join(off)} to on and reload"
        )
    return ok(found)


@group.check("database connections")
def connections(asked: Asked) -> Verdict:
    row = asked.connection.execute(text(DATABASE)).one()
    used, limit = len(row.connections), row.connections_limit
    advice = "raise max_connections, or run fewer processes or a smaller DATABASE_POOL"
    return by_size(used / limit, f"{used} of {limit}", advice, warns=FULL_WARNS, fails=FULL_FAILS)


@group.check("database size")
def size(asked: Asked) -> Verdict:
    """With what is free, where its folder is on this machine and we may know which it is."""
    found = f"{asked.connection.execute(text(DATABASE)).one().size / 1e6:,.0f} MB"
    folder = asked.connection.execute(
        text("SELECT setting FROM pg_settings WHERE name = 'data_directory' AND inet_server_addr() <<= '127.0.0.0/8'")
    ).scalar_one_or_none()
    if folder is None or not Path(folder).is_dir():
        return ok(f"{found}; what is free on its disk cannot be seen from here")
    return room(Path(folder), f"{found}; ", "make room on PostgreSQL's disk: without any it takes no writes")


def room(folder: Path, before: str, advice: str) -> Verdict:
    """What is free on the disk of a folder, told after what else was found."""
    disk = shutil.disk_usage(folder)
    full = disk.used / (disk.used + disk.free)
    found = f"{before}{disk.free / 1e9:,.1f} GB are free at {folder} ({full:.0%} used)"
    return by_size(full, found, advice, warns=DISK_WARNS, fails=DISK_FAILS)


@group.check("vacuum")
def vacuum(asked: Asked) -> Verdict:
    row = asked.connection.execute(
        text("""
            SELECT current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on' AS automatic,
                   (SELECT array_agg(relname ORDER BY n_dead_tup DESC) FROM pg_stat_user_tables
                     WHERE n_dead_tup > :dead AND n_dead_tup > n_live_tup) AS tables
        """),
        {"dead": DEAD_ROWS},
    ).one()
    if not row.automatic:
        return failed("autovacuum is off: tables only grow", "set autovacuum and track_counts to on and reload")
    if row.tables:
        return warning(
            f"autovacuum does not keep up: more dead rows than living in {', '.join(row.tables)}",
            "look for old transactions, then VACUUM (VERBOSE) these tables",
        )
    return ok("autovacuum is on and keeps up")


@group.check("transaction ids")
def transaction_ids(asked: Asked) -> Verdict:
    age = asked.connection.execute(
        text("SELECT max(greatest(age(datfrozenxid), mxid_age(datminmxid))) FROM pg_database")
    ).scalar_one()
    advice = "look for old transactions and prepared ones, then VACUUM (FREEZE): at 2,100,000,000 all writes stop"
    return by_size(age, f"the oldest is {age:,} old", advice, warns=XID_WARNS, fails=XID_FAILS)


@group.check("old transactions")
def old_transactions(asked: Asked) -> Verdict:
    rows = asked.connection.execute(
        text("""
            SELECT pid, application_name AS name, state,
                   round(EXTRACT(epoch FROM clock_timestamp() - xact_start))::int AS seconds
              FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND (xact_start < clock_timestamp() - make_interval(secs => :long)
                    OR (state LIKE 'idle in transaction%'
                        AND state_change < clock_timestamp() - make_interval(secs => :idle)))
             ORDER BY xact_start
        """),
        {"idle": IDLE_SECONDS, "long": LONG_SECONDS},
    ).all()
    if not rows:
        return ok("none")
    first = rows[0]
    return warning(
        f"{len(rows)}; the oldest is {first.seconds} s old, {first.state}: {first.name or 'a program without a name'},"
        f" process {first.pid}",
        f"end it: SELECT pg_terminate_backend({first.pid}); it may hold locks, and keeps vacuum from its work",
    )
