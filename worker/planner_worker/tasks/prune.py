"""Pruning: rows past their use go."""

from planner_common.messages import Task
from planner_common.models import metadata
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from planner_worker.app import app
from planner_worker.database import engine

BATCH = 5_000

# - Expired refresh tokens, spent ones too: until then a spent one that comes back gives a thief away.
# - Personal tokens stay a month past their end, so that their owner sees in the list why a program stopped working.
# - Of a channel that was removed the address is gone at once; its name stays for a month, for whoever looks why
#   something came by it, and for as long as something is to be sent by it.
# - The newest audit stays whatever its age: none at all would say that there never was one.
EXPIRED = {
    "refresh_tokens": "expires_at < now()",
    "personal_tokens": "expires_at < now() - interval '30 days'",
    "idempotency_keys": "created_at < now() - interval '24 hours'",
    "reach": "hour < now() - interval '2 days'",
    "audits": "at < now() - interval '30 days' AND at < (SELECT max(at) FROM audits)",
    "processes": "seen_at < now() - interval '1 day'",
    "channels": """ended_at < now() - interval '30 days' AND NOT EXISTS (
        SELECT FROM deliveries d WHERE d.channel_id = channels.id AND d.finished_at IS NULL
    )""",
}


@app.task(name=Task.PRUNE.value, throws=(OperationalError,))
def prune() -> dict[str, int]:
    """Delete what has expired, a batch per transaction so that no lock is held for long. Returns rows by table."""
    pruned = dict.fromkeys(EXPIRED, 0)
    with engine().connect() as connection:
        for table, expired in EXPIRED.items():
            key = ", ".join(column.name for column in metadata.tables[table].primary_key)
            statement = text(
                f"DELETE FROM {table} WHERE ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE {expired} LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"
            )
            while rows := connection.execute(statement).rowcount:
                pruned[table] += rows
    return pruned
