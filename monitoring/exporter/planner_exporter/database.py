"""PostgreSQL itself: its version of the schema, its size, and how near it is to its limit of connections."""

from collections.abc import Iterator

from planner_common.vitals import DATABASE, HEAD, VERSION
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection

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
