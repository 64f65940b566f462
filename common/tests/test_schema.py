from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from planner_common import schema
from planner_common.models import metadata
from sqlalchemy import Connection


def test_migrations_make_exactly_the_tables_of_the_models(connection: Connection) -> None:
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_database_is_at_head(connection: Connection) -> None:
    assert schema.version(connection) == schema.head()
