"""Run by Alembic, which `planner migrate` configures in code: there is no alembic.ini."""

from alembic import context
from sqlalchemy import Connection

from planner_common.models import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_server_default=False)
with context.begin_transaction():
    context.run_migrations()
