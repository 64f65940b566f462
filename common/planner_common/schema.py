"""Bringing the database to the version that this code needs, and asking whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

MIGRATION_LOCK = 0x706C616E  # "plan": one migration at a time


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(connection: Connection) -> None:
    """Run what is missing, in the caller's transaction, waiting for another migrator to finish first."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def head() -> str | None:
    """The version this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def version(connection: Connection) -> str | None:
    """The version the database has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def make_revision(connection: Connection, message: str) -> None:
    """For developers: write the migration from what the database has to what `models` says."""
    config = _config()
    config.attributes["connection"] = connection
    command.revision(config, message=message, autogenerate=True)
