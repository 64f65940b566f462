"""The tables: of the version that this code needs, with all their indexes, and legible."""

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint, text

from planner_common import schema
from planner_common.doctor.database import Asked, group
from planner_common.doctor.verdicts import Verdict, failed, ok
from planner_common.models import metadata
from planner_common.sealing import Sealer, UnsealedError

# The oldest and the newest of what is sealed: what no key opens is most likely at one end.
SEALED = text("""
    (SELECT 'channels' AS name, address AS sealed FROM channels WHERE address <> '' ORDER BY id LIMIT 1)
    UNION ALL
    (SELECT 'channels', address FROM channels WHERE address <> '' ORDER BY id DESC LIMIT 1)
    UNION ALL
    (SELECT 'idempotency_keys', body FROM idempotency_keys WHERE body <> '' LIMIT 1)
""")


@group.check("schema")
def version(asked: Asked) -> Verdict:
    there, needed = schema.version(asked.connection), schema.head()
    if there == needed:
        return ok(f"version {there}, as this code needs")
    found = f"the database is {f'at version {there}' if there else 'empty'}, this code needs {needed}"
    if there and needed and there > needed:
        return failed(found, "upgrade what runs here, or restore the backup that was made before the database was")
    return failed(found, "planner migrate")


@group.check("indexes")
def indexes(asked: Asked) -> Verdict:
    needed = {
        str(one.name)
        for table in metadata.tables.values()
        for one in (*table.indexes, *table.constraints)
        if isinstance(one, Index | PrimaryKeyConstraint | UniqueConstraint)
    }
    rows = asked.connection.execute(
        text("""
            SELECT relname AS name, indisvalid AND indisready AS good
              FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
             WHERE relnamespace = to_regnamespace(current_schema())
        """)
    ).all()
    if missing := sorted(needed - {row.name for row in rows}):
        return failed(
            f"missing: {', '.join(missing)}", "planner migrate; if the schema is right, make them as its migrations do"
        )
    if broken := sorted(row.name for row in rows if not row.good):
        return failed(f"invalid: {', '.join(broken)}", f"REINDEX INDEX CONCURRENTLY {broken[0]}")
    return ok(f"all {len(rows)} are there and valid")


@group.check("encryption keys")
def sealed(asked: Asked) -> Verdict:
    try:
        sealer = Sealer(asked.settings.encryption_keys)
    except ValueError as error:
        return failed(f"{error} here", "run this where the API runs, and set ENCRYPTION_KEYS or ENCRYPTION_KEYS_FILE")
    rows = asked.connection.execute(SEALED).all()
    for row in rows:
        try:
            sealer.open_bytes(row.sealed)
        except UnsealedError:
            return failed(
                f"none of them opens a row of {row.name}", "add the key that is missing to ENCRYPTION_KEYS, at its end"
            )
    return ok("they open what is sealed" if rows else "there are some; nothing is sealed yet")
