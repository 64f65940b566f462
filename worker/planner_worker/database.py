"""The workers' connections to PostgreSQL: one per process, made when a task first asks for it."""

from contextlib import suppress
from functools import lru_cache

from celery import signals
from planner_common.database import make_engine
from planner_common.settings import get_settings
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from planner_worker.app import STATEMENT_SECONDS


@lru_cache(maxsize=1)
def engine() -> Engine:
    """An engine in which each statement is a transaction of its own.

    Connected in tasks only, hence after the fork: a connection must not be shared by two processes.
    """
    return make_engine(get_settings(), "planner-worker", statement_seconds=STATEMENT_SECONDS).execution_options(
        isolation_level="AUTOCOMMIT"
    )


@signals.worker_process_init.connect
def warm_up(**_signal: object) -> None:
    """Connect before the first task does, which would wait for it."""
    with suppress(OperationalError):  # the tasks will say so
        engine().connect().close()
