"""Pruning: rows past their use go."""

from planner_common.messages import Task
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from planner_worker.app import app
from planner_worker.database import engine

BATCH = 5_000

# Expired refresh tokens, spent ones too: until then a spent one that comes back gives a thief away.
# Personal tokens stay a month past their end, so that their owner sees in the list why a program stopped working.
EXPIRED = {
    "refresh_tokens": "expires_at < now()",
    "personal_tokens": "expires_at < now() - interval '30 days'",
}


@app.task(name=Task.PRUNE.value, throws=(OperationalError,))
def prune() -> dict[str, int]:
    """Delete what has expired, a batch per transaction so that no lock is held for long. Returns rows by table."""
    pruned = dict.fromkeys(EXPIRED, 0)
    with engine().connect() as connection:
        for table, expired in EXPIRED.items():
            statement = text(
                f"DELETE FROM {table} WHERE id IN"
                f" (SELECT id FROM {table} WHERE {expired} LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"
            )
            while rows := connection.execute(statement).rowcount:
                pruned[table] += rows
    return pruned
