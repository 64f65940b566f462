"""`planner`: what an operator types. A module for each noun; `app` and what they share are in `base`."""

import sys

from sqlalchemy.exc import OperationalError

from planner_common.cli import audit, dead, doctor, held, keys, restored, schema, trace, user  # noqa: F401  # each adds its commands
from planner_common.cli.base import app


def main() -> None:
    try:
        app()
    except OperationalError as error:
        # Not 1: a database that cannot be asked says nothing of what is in it.
        sys.stderr.write(f"PostgreSQL cannot be asked: {error.orig}\n")
        sys.exit(75)  # EX_TEMPFAIL of sysexits.h
