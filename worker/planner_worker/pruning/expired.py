"""What has an end of its own: tokens, answers kept for a day, counts of an hour, audits."""

from planner_common.models import metadata
from sqlalchemy import text

from planner_worker import pruning

# - Expired refresh tokens, spent ones too: until then a spent one that comes back gives a thief away.
# - Personal tokens stay a month past their end, so that their owner sees in the list why a program stopped working.
# - Of a channel that was removed the address is gone at once; its name stays for a month, for whoever looks why
#   something came by it, and for as long as something is to be sent by it.
# - The newest audit stays whatever its age: none at all would say that there never was one.
# - Processes that were killed never said that they end.
EXPIRED = {
    "refresh_tokens": "expires_at < now()",
    "personal_tokens": "expires_at < now() - interval '30 days'",
    "idempotency_keys": "created_at < now() - interval '24 hours'",
    "reach": "hour < now() - interval '2 days'",
    "audits": "at < now() - interval '30 days' AND at < (SELECT max(at) FROM audits)",
    "channels": """ended_at < now() - interval '30 days' AND NOT EXISTS (
        SELECT FROM deliveries d WHERE d.channel_id = channels.id AND d.finished_at IS NULL
    )""",
    "processes": "seen_at < now() - interval '1 day'",
}


def prune(run: pruning.Run) -> None:
    for table, expired in EXPIRED.items():
        key = ", ".join(column.name for column in metadata.tables[table].primary_key)
        statement = text(f"""
            WITH gone AS (
                DELETE FROM {table} WHERE ({key}) IN
                    (SELECT {key} FROM {table} WHERE {expired} LIMIT :batch FOR UPDATE SKIP LOCKED)
                RETURNING 1
            )
            SELECT count(*) AS rows, NULL AS after FROM gone
        """)
        run.batches(table, statement)
