"""`planner restored`."""

import typer

from planner_common import restoring
from planner_common.cli.base import app, connect, console
from planner_common.cli.output import fail


@app.command()
def restored() -> None:
    """Say that the database was restored from a backup, before the services start: what was unfinished in it may have
    been sent since. It is quarantined: `planner dead list --reason quarantined`.

    `make restore` and `docker/restore` do this. Doing it twice is harmless; while services run it is refused.
    """
    with connect().begin() as connection:
        if services := restoring.living(connection):
            fail(f"stop the services first: {', '.join(services)} would send meanwhile what is to be quarantined")
        noted = restoring.note(connection)
    console.print(str(noted))
    if noted.is_new:
        console.print("look: planner dead list --reason quarantined; give one another try: planner dead replay ID")
    raise typer.Exit
