"""Pruning: rows past their use go."""

from planner_common.messages import Task
from planner_common.settings import get_settings
from sqlalchemy.exc import OperationalError

from planner_worker.app import app
from planner_worker.database import engine
from planner_worker.pruning import Run, aged, ends, events, expired


@app.task(name=Task.PRUNE.value, throws=(OperationalError,))
def prune() -> dict[str, int]:
    """Delete what is past its use, in batches, until nothing is left or time is over. Returns rows by table."""
    with engine().connect() as connection:
        run = Run(connection, get_settings())
        for each in (expired, events, aged, ends):
            each.prune(run)
    return dict(run.pruned)
