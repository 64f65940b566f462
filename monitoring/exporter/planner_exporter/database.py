"""PostgreSQL itself: its version of the schema, its size, and how near it is to its limit of connections."""

from collections.abc import Iterator

from planner_common.vitals import DATABASE, HEAD, VERSION
from prometheus_client.core import GaugeMetricFamily

from planner_exporter.session import Session

STATES = ("active", "idle", "idle in transaction")
OTHER = "other"


def version(session: Session) -> str:
    """The version of the database. Raises psycopg.Error."""
    found: str = session.row(VERSION).version_num
    return found


def measure(session: Session, schema: str) -> Iterator[GaugeMetricFamily]:
    """`schema`: its version. Raises psycopg.Error."""
    row = session.row(DATABASE)
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
