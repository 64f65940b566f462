"""Backups of a PostgreSQL that runs here, by the programs that come with it: pg_dump and pg_restore.

A backup is a file in pg_dump's own format, of one moment, whatever is written meanwhile. Restoring makes a new
database, brings it to the version of this code and quarantines what was unfinished in it; only then it takes the place
of the other, which is kept under another name. An interruption leaves the old database in its place.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from planner_local.servers import Postgres, postgres_programs

BIN = Path(sys.executable).parent
DATABASE, NEW, BEFORE = "planner", "planner_new", "planner_before"


class BackupError(Exception):
    """It did not work; the message is what the program said."""


def back_up(server: Postgres, file: Path) -> None:
    """Write the database to a file that only its owner can read, wholly or not at all, and read it once to its end.

    Raises BackupError, or OSError when the file can't be written.
    """
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    try:
        new.touch(mode=0o600, exist_ok=False)
        _run(server, "pg_dump", "--format=custom", f"--file={new}", DATABASE)  # which syncs it
        check(server, new)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def check(server: Postgres, file: Path) -> None:
    """Read a backup to its end. Raises BackupError when it is none, or not all of one."""
    _run(server, "pg_restore", f"--file={os.devnull}", str(file))


def restore(server: Postgres, file: Path) -> str:
    """Put the content of a backup in the place of the database. No service may run. Returns what was quarantined.

    Raises BackupError; the database is then as it was.
    """
    check(server, file)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(NEW)))
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(NEW)))
        _run(server, "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={NEW}", str(file))
        settings = {"DATABASE_URL": server.url(NEW)}
        said = "".join(_execute([str(BIN / "planner"), command], settings) for command in ("migrate", "restored"))
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(BEFORE)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [DATABASE])
        rename = SQL("ALTER DATABASE {} RENAME TO {}")
        with connection.transaction():
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(rename.format(Identifier(DATABASE), Identifier(BEFORE)))
            connection.execute(rename.format(Identifier(NEW), Identifier(DATABASE)))
    return said


def _run(server: Postgres, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs. The password is in its environment, where others do not see it."""
    connecting = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "planner", "PGPASSWORD": server.password}
    _execute([str(postgres_programs() / program), *arguments], connecting)


def _execute(command: list[str], environment: Mapping[str, str]) -> str:
    """What the command prints."""
    settings = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=settings)  # noqa: S603
    if done.returncode:
        raise BackupError(f"{Path(command[0]).name}: {done.stderr.strip()}")
    return done.stdout
