"""`planner migrate`, and `planner revision` for developers."""

from planner_common import restoring, schema
from planner_common.canary.accounts import keep_accounts
from planner_common.cli.base import app, connect, console
from planner_common.settings import settings_or_exit


@app.command()
def migrate() -> None:
    """Bring the database to the version that this code needs, with the canary's accounts where CANARY_KEY is set.

    Doing it twice, or twice at once, is harmless. Where the database was restored from a dump, this does what
    `planner restored` does.
    """
    key = settings_or_exit().canary_key
    with connect().begin() as connection:
        before = schema.version(connection)
        schema.migrate(connection)
        if key is not None:
            keep_accounts(connection, key.get_secret_value())
        restored = restoring.keep_birthmark(connection)
    after = schema.head()
    console.print(f"database at {after}" + (f", from {before or 'nothing'}" if before != after else ", as before"))
    if restored:
        console.print(f"it was restored from a backup: {restored}")


@app.command(hidden=True)
def revision(message: str) -> None:
    """Developers: write the migration from what the database has to what the models say."""
    with connect().connect() as connection:
        schema.make_revision(connection, message)
