"""`planner doctor`."""

from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer
from rich.text import Text

from planner_common import doctor as examining
from planner_common.cli.base import app, console
from planner_common.cli.dead import Json
from planner_common.cli.output import as_json
from planner_common.doctor import Finding, Status
from planner_common.settings import settings_or_exit

COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red", Status.UNKNOWN: "magenta"}


@app.command()
def doctor(
    json: Json = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 for warnings, too.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print only what is not as it should be: for cron.")] = False,
) -> None:
    """Look at what an operator would, and say of each thing what is wrong and what to do.

    It changes nothing, sends no mail, and ends within some 15 seconds whatever hangs. Exits with 1 if something failed,
    or could not be looked at, else with 0. It sees what this process sees: run it where the API runs.
    """
    findings = examining.look(settings_or_exit())
    shown = [finding for finding in findings if not quiet or finding.status is not Status.OK]
    if json:
        as_json([asdict(finding) for finding in shown])
    else:
        width = max(len(finding.check) for finding in findings)
        for _, alike in groupby(shown, key=lambda one: (one.status is Status.UNKNOWN and one.found) or one):
            _print(list(alike), width)
    bad = {Status.FAILED, Status.UNKNOWN} | ({Status.WARNING} if strict else set())
    raise typer.Exit(any(finding.status in bad for finding in findings))


def _print(alike: list[Finding], width: int) -> None:
    """One finding, or those in a row that are unknown for the same reason."""
    finding = alike[0]
    name, found = finding.check, finding.found
    if len(alike) > 1:
        name, found = f"{len(alike)} checks", f"{found} ({', '.join(one.check for one in alike)})"
    label = (f"{finding.status:<9}", COLOURS[finding.status])
    console.print(Text.assemble(label, (f"{name:<{width}}  ", "bold"), found))
    if finding.advice:
        console.print(Text(f"{'':<{9 + width}}  → {finding.advice}"))
