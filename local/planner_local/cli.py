"""The commands of `python -m planner_local`, which the targets of the same names in the Makefile call."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer
from rich.console import Console

from planner_local.guard import guarded
from planner_local.output import Patient, prefixing
from planner_local.servers import Postgres, free_port, keep_secret, postgres_programs
from planner_local.stack import BIN, NAMES, OWN, Stack
from planner_local.state import Addresses, RunningError, alone, forget, running
from planner_local.supervisor import StartError

FOLDER = Path(".local").absolute()
CALENDAR = Path(__file__).with_name("demo.ics")
LOG = FOLDER / "demo.log"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Planner on this machine, without Docker.")
console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)


def fail(what: object) -> int:
    errors.print(str(what), style="red", markup=False)
    return 1


def stop_on_signals(console: Console, hurry: asyncio.Event) -> None:
    """From now on the first SIGINT, SIGTERM or SIGHUP cancels the current task, the next sets `hurry`.

    One more ends this process on the spot: its guard ends what it leaves.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # this is called from a coroutine

    def stop() -> None:
        if hurry.is_set():
            os._exit(1)
        elif task.cancelling():
            hurry.set()
        else:
            console.print("stopping (once more: at once)")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def run_guarded(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The exit status of `main`, which may run a stack: none of its processes outlives this. Raises RunningError."""
    with alone(FOLDER):
        return guarded(lambda: asyncio.run(main()), lambda: forget(FOLDER))


def print_addresses(console: Console, addresses: Addresses) -> None:
    """Where everything is. Not a Rich table: whatever the terminal's width, nothing of it may be cut off."""
    secrets = FOLDER / "secrets"
    login = f"user {os.environ.get('FLOWER_USER') or 'planner'}, password {(secrets / 'flower_password').read_text()}"
    rows = (
        ("API", addresses.api, f"try it at {addresses.api}/docs"),
        ("Flower", addresses.flower, login),
        ("exporter", addresses.exporter, "the queues and the backlog, for Prometheus"),
        ("canary", addresses.canary, "how long a notification takes, again and again"),
        ("metrics", addresses.api_metrics, "of the API"),
        ("", addresses.worker_metrics, "of the worker"),
        ("", addresses.dispatcher_metrics, "of the dispatcher"),
        ("", addresses.flower_metrics, "of Flower"),
        ("PostgreSQL", addresses.postgres, ".venv/bin/python -m planner_local run psql"),
        ("Valkey", addresses.valkey, f"password in {(secrets / 'valkey_password').relative_to(Path.cwd())}"),
        ("mails", *_mails(addresses)),
    )
    width = max(len(address) for _, address, _ in rows)
    console.print("Planner is up", style="bold green")
    for name, address, note in rows:
        console.print(f"  [bold]{name:<10}[/bold]  {address:<{width}}  [dim]{note}[/dim]")


def _mails(addresses: Addresses) -> tuple[str, str]:
    """Where they are, or go, and a note."""
    if addresses.mail:
        return str(Path(addresses.mail).relative_to(Path.cwd())), "kept there as files: none leaves this machine"
    return "by SMTP_URL", "to whom they are meant for" if os.environ.get("SMTP_URL") else "none: it is empty"


async def _up() -> int:
    # For people: coloured where they look on, unless they set something else.
    on_terminal = sys.stdout.isatty()
    environment = {**({"LOG_FORMAT": "console"} if on_terminal else {}), **os.environ}
    stream = Patient(sys.stdout)
    console = Console(highlight=False, soft_wrap=True, file=cast(TextIO, stream))
    write = prefixing(NAMES, stream, colour=on_terminal and "NO_COLOR" not in os.environ)
    try:
        stack = Stack(FOLDER, environment, write)
        stop_on_signals(console, stack.hurry)
        for line in stack.told:
            console.print(line, style="yellow")
        async with stack:
            print_addresses(console, stack.state.addresses)
            await stack.failure()
    except asyncio.CancelledError:
        console.print("stopped")
    except (StartError, RuntimeError) as error:
        return fail(error)
    finally:
        stream.finish()
    return 0


@app.command()
def up() -> None:
    """Run everything, until Ctrl-C."""
    raise typer.Exit(run_up())


def run_up() -> int:
    """What `up` does, and its exit status."""
    try:
        return run_guarded(_up)
    except RunningError:
        found = running(FOLDER)
        if found and found[1]:
            console.print("It runs already, from another terminal.")
            print_addresses(console, found[0])
        else:
            console.print("It is being started or stopped, from another terminal.")
        return 0


@app.command()
def demo(
    calendar: Annotated[Path, typer.Argument(help="An iCalendar file, instead of the demo's own.")] = CALENDAR,
) -> None:
    """Import a calendar and watch its people being told. Uses the stack that runs, or one of its own."""
    from planner_local.demo import demonstrate, read_calendar  # noqa: PLC0415  # 20 MB, which `up` would keep

    try:
        content = read_calendar(calendar)
    except OSError as error:
        fail(f"CALENDAR={calendar}: {error.strerror}")
        raise typer.Exit(2) from None

    async def with_running(addresses: Addresses) -> int:
        stop_on_signals(console, asyncio.Event())
        try:
            return await demonstrate(console, addresses, FOLDER, name=calendar.name, calendar=content)
        except asyncio.CancelledError:
            return 1

    async def with_own() -> int:
        environment = {"CANARY_SECONDS": "0", **os.environ}  # the figures are to be the calendar's
        with LOG.open("w") as log:
            try:
                stack = Stack(FOLDER, environment, lambda name, line: print(name, "│", line, file=log, flush=True))
                stop_on_signals(console, stack.hurry)
                console.print(f"No stack is up: starting one (its log: {LOG.relative_to(Path.cwd())}) …")
                async with stack:
                    status = await demonstrate(
                        console, stack.state.addresses, FOLDER, name=calendar.name, calendar=content
                    )
                    console.print("Stopping what was started …")
            except asyncio.CancelledError:
                return 1
            except (StartError, RuntimeError) as error:
                return fail(error)
        return status

    try:
        status = run_guarded(with_own)
    except RunningError:
        found = running(FOLDER)
        if not found or not found[1]:
            status = fail("A stack is being started or stopped, from another terminal. Try again in a moment.")
        else:
            status = asyncio.run(with_running(found[0]))
    raise typer.Exit(status)


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def run(command: Annotated[list[str], typer.Argument(help="planner audit, psql, celery …")]) -> None:
    """Run a command with the settings of the stack that runs."""
    found = running(FOLDER)
    if not found:
        fail("Nothing runs here: `make up` first.")
        raise typer.Exit(1)
    secrets = FOLDER / "secrets"
    host, _, port = found[0].postgres.partition(":")
    environment = {name: value for name, value in os.environ.items() if name not in OWN} | {
        "PATH": f"{BIN}:{postgres_programs()}:{os.environ.get('PATH', os.defpath)}",
        "DATABASE_URL_FILE": str(secrets / "database_url"),
        "REDIS_URL_FILE": str(secrets / "redis_url"),
        "ENCRYPTION_KEYS_FILE": str(secrets / "encryption_keys"),
        "CANARY_KEY_FILE": str(secrets / "canary_key"),
        "PGHOST": host,
        "PGPORT": port,
        "PGUSER": "planner",
        "PGDATABASE": "planner",
        "PGPASSWORD": (secrets / "postgres_password").read_text().strip(),
        "REDISCLI_AUTH": (secrets / "valkey_password").read_text().strip(),
    }
    os.environ["PATH"] = environment["PATH"]  # where execvpe looks
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606  # what the user typed
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}")
        raise typer.Exit(127) from None


@app.command()
def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; planner-….dump here unless given.")] = None,
) -> None:
    """Write a backup of the database, whether the stack is up or not."""
    from planner_local.backup import BackupError, back_up  # noqa: PLC0415  # it needs psycopg: 8 MB

    file = file or Path(f"planner-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump")
    try:
        with database() as server:
            back_up(server, file)
    except RunningError:
        raise typer.Exit(fail("A stack is being started or stopped, from another terminal.")) from None
    except (BackupError, RuntimeError, OSError) as error:
        raise typer.Exit(fail(error)) from None
    console.print(f"{file}: {file.stat().st_size:,} bytes. The keys are not in it: see docs/operations/backup.md")


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)]) -> None:
    """Put a backup in the place of the database. Refuses while the stack is up.

    What was unfinished in it is not sent by itself: it may have been sent since.
    """
    from planner_local.backup import BackupError  # noqa: PLC0415  # as above
    from planner_local.backup import restore as restore_from  # noqa: PLC0415

    try:
        with alone(FOLDER), stopped_database() as server:
            console.print(restore_from(server, file).strip(), markup=False)
            shutil.rmtree(FOLDER / "valkey", ignore_errors=True)  # queues and cache of what is no more
    except RunningError:
        raise typer.Exit(fail("A stack is up: stop it first (Ctrl-C where it runs).")) from None
    except (BackupError, RuntimeError, OSError) as error:
        raise typer.Exit(fail(error)) from None
    console.print("restored; the database that was there is kept as planner_before, until the next time")


@contextmanager
def database() -> Iterator[Postgres]:
    """The stack's PostgreSQL: the one that runs, or one that is started for as long as the block runs."""
    if found := running(FOLDER):
        port = int(found[0].postgres.rpartition(":")[2])
        yield Postgres(FOLDER / "postgres", port, keep_secret(FOLDER / "secrets" / "postgres_password"))
        return
    with alone(FOLDER), stopped_database() as server:
        yield server


@contextmanager
def stopped_database() -> Iterator[Postgres]:
    password = keep_secret(FOLDER / "secrets" / "postgres_password")
    with Postgres(FOLDER / "postgres", free_port(), password) as server:
        yield server


@app.command()
def clean() -> None:
    """Delete the stack's data and secrets. Refuses while one runs."""
    if not FOLDER.exists():
        return
    try:
        with alone(FOLDER):
            shutil.rmtree(FOLDER)
    except RunningError:
        raise typer.Exit(fail("A stack is up: stop it first (Ctrl-C where it runs).")) from None
