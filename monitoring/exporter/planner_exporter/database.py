"""PostgreSQL itself: its version of the schema, its size, and how near it is to its limit of connections."""

from collections.abc import Iterator
from importlib.resources import files

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection, text

HEAD = max(file.name.partition("_")[0] for file in files("planner_common.migrations.versions").iterdir())
"""The version that this code needs, as `planner_common.schema.head` finds it by Alembic, which the exporter has not."""

VERSION = text("SELECT version_num FROM alembic_version")
# Of other users one sees neither state nor kind without being allowed to.
DATABASE = text("""
    SELECT pg_database_size(current_database()) AS size,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - current_setting('reserved_connections')::int AS connections_limit,
           (SELECT array_agg(state) FROM pg_stat_activity
             WHERE datid IS NOT NULL AND COALESCE(backend_type, 'client backend') = 'client backend') AS connections
""")
STATES = ("active", "idle", "idle in transaction")
OTHER = "other"


def version(connection: Connection) -> str:
    """The version of the database. Raises sqlalchemy.exc.SQLAlchemyError."""
    found: str = connection.execute(VERSION).scalar_one()
    return found


def measure(connection: Connection, schema: str) -> Iterator[GaugeMetricFamily]:
    """`schema`: its version. Raises sqlalchemy.exc.SQLAlchemyError."""
    row = connection.execute(DATABASE).one()
    yield GaugeMetricFamily(
        "planner_schema_behind", "1 while the database is not at the version that this code needs.", schema != HEAD
    )
    yield GaugeMetricFamily("planner_database_size_bytes", "The database on disk, indexes and all.", row.size)
    yield GaugeMetricFamily(
        "planner_database_connections_limit",
        "Connections that PostgreSQL grants to all together.",
        row.connections_limit,
    )
    connections = GaugeMetricFamily("planner_database_connections", "Connections to PostgreSQL.", labels=["state"])
    states = [state if state in STATES else OTHER for state in row.connections]
    for state in (*STATES, OTHER):
        connections.add_metric([state], states.count(state))
    yield connections
