"""Each process says now and then that it lives, what it runs and what its clock shows: a row of the table `processes`.

It is liveness by the process's own word, for the exporter and `planner doctor`; nothing in Planner depends on it.
"""

import os
import socket
import threading
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from planner_common.libpq import KEEPALIVES, libpq_url, options, timeouts
from planner_common.logging import get_logger, in_short
from planner_common.settings import Settings

SERVICES = ("api", "dispatcher", "worker")
"""Those whose processes say so."""
BEAT_SECONDS = 10.0
ALIVE_SECONDS = 30
"""A process that was not seen for so long is not alive: two beats may fail."""
STOP_SECONDS = 2.0
"""How long a stop may take to remove the row. After that, a frozen PostgreSQL say, the row grows old instead."""
STATEMENT_SECONDS = 5.0
APPLICATION = "planner-presence"
FORK_SECONDS = 0.5
"""How long a fork waits for a beat that is under way."""

logger = get_logger("planner_common.presence")

BEAT = """
    INSERT INTO processes (id, service, version, tzdata, queues, started_at, seen_at, clock)
    VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), $7)
    ON CONFLICT (id) DO UPDATE
    SET (service, version, tzdata, queues, started_at, seen_at, clock) =
        (excluded.service, excluded.version, excluded.tzdata, excluded.queues, excluded.started_at, excluded.seen_at,
         excluded.clock)
"""
# Not that of a namesake which has taken the place.
LEAVE = "DELETE FROM processes WHERE id = $1 AND started_at = $2"


def planner_version() -> str:
    return version("planner-common")


def tzdata_version() -> str:
    """Of the zones that `zoneinfo` reads, and where it finds them: `2026a (package)`, `2026a (/usr/share/zoneinfo)`."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "Europe/Paris").is_file():
            return f"{_version_in(folder)} ({folder})"
    return f"{_version_in(files('tzdata') / 'zoneinfo')} (package)"


def _version_in(folder: Traversable) -> str:
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8") as source:
            return source.readline().removeprefix("# version").strip()
    except OSError:
        return "unknown"


class Presence:
    """`Presence(settings, "worker", queues).start()`, and `.stop()` in the end.

    A thread connects anew for each beat, so that between them there is neither a connection that a fork would inherit
    nor one that a frozen server would keep.
    """

    def __init__(self, settings: Settings, service: str, queues: Sequence[str] = (), id_: str | None = None) -> None:
        """`id_`: who else has it takes this one's place. By default it is made of service, host and process."""
        self.url = libpq_url(settings)
        self.id = id_ or f"{service}@{socket.gethostname()}:{os.getpid()}"
        self.started_at = datetime.now(UTC)
        self.row = [self.id, service, planner_version(), tzdata_version(), list(queues), self.started_at]
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="presence", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Remove the row, within `STOP_SECONDS` or not at all."""
        self.stopping.set()
        self.thread.join(STOP_SECONDS)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.say(BEAT, *self.row, datetime.now(UTC))
            self.stopping.wait(BEAT_SECONDS)
        self.say(LEAVE, self.id, self.started_at)

    def say(self, statement: str, *values: object) -> None:
        """Execute it. An outage is borne in silence: those who depend on PostgreSQL report it."""
        import psycopg  # noqa: PLC0415  # the API says it by the driver that it has anyway

        try:
            with (
                connecting,
                psycopg.connect(
                    self.url,
                    autocommit=True,
                    cursor_factory=psycopg.RawCursor,  # PostgreSQL's own way to name values, which both drivers know
                    application_name=APPLICATION,
                    options=options(timeouts(STATEMENT_SECONDS)),
                    **KEEPALIVES,  # type: ignore[arg-type]  # libpq's numbers
                ) as connection,
            ):
                connection.execute(statement, values)
        except psycopg.Error as error:
            logger.debug("not written down", error=in_short(error))


connecting = threading.Lock()
"""Held while a beat is under way."""


class Forks:
    """Keeps a beat and a fork apart: the child would inherit the connection, and what libraries had locked for it.

    It waits for a while only: a beat that takes longer waits for a server, and holds nothing but its socket.
    """

    def __init__(self) -> None:
        self.apart = False

    def before(self) -> None:
        self.apart = connecting.acquire(timeout=FORK_SECONDS)

    def after(self) -> None:
        if self.apart:
            connecting.release()


forks = Forks()
os.register_at_fork(before=forks.before, after_in_parent=forks.after, after_in_child=forks.after)
