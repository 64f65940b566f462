"""`python -m bench`: runs the benchmarks, prints their table, keeps the results. See bench/README.md."""

import argparse
import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.picture import draw
from bench.rows import PLANNER, Row
from bench.stack import Plan

BENCHMARKS = ("fanout", "burst", "ingest", "read", "latency", "email", "stream", "scale", "idle", "metrics_cost")
RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What it ran on: without it no figure means anything."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }


def table(rows: list[Row]) -> Table:
    shown = Table(title="Planner beside its limit and its peers: medians, and how far samples lie apart")
    for column in ("benchmark", "", "Planner", "others", "ratio", "to reach", ""):
        shown.add_column(column, overflow="fold")
    for row in rows:
        others = [name for name in row.samples if name != PLANNER]
        shown.add_row(
            row.benchmark,
            row.what,
            figure(row, PLANNER),
            "\n".join(f"{name} {figure(row, name)}" for name in others),
            "\n".join(f"{row.ratio(name):.3g}" for name in others),
            "\n".join(map(str, row.goals)),
            "[red]missed[/red]" if row.missed else "[green]reached[/green]" if row.goals else "",
        )
    return shown


def figure(row: Row, contestant: str) -> str:
    return f"{row.median(contestant):,.4g} {row.unit} ±{row.spread(contestant) / 2:.0%}"


def keep(folder: Path, about: dict[str, Any], rows: list[Row], shown: Table) -> None:
    """The results of this run as JSON, text and a picture: `latest` with each suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {"machine": about, "rows": [row.as_json() for row in rows]}
    (folder / "latest.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    with (folder / "latest.txt").open("w", encoding="utf-8") as file:
        text = Console(file=file, width=180)
        text.print(shown, *(f"{name}: {value}" for name, value in about.items()), sep="\n")
        text.print(*(f"{row.benchmark}, {row.what}: {row.note}" for row in rows if row.note), sep="\n")
    draw(rows, folder / "latest.svg")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*BENCHMARKS, []], help="these alone")
    parser.add_argument("--rounds", type=int, help="samples of each contestant: 3, or 1 of a smoke run")
    parser.add_argument("--smoke", action="store_true", help="small: shows that everything runs; figures mean nothing")
    parser.add_argument("--out", type=Path, help="where results are kept: bench/results, but nowhere of a smoke run")
    given = parser.parse_args()
    out = given.out or (None if given.smoke else RESULTS)
    console = Console(width=180)
    plan = Plan(rounds=given.rounds or (1 if given.smoke else 3), smoke=given.smoke)
    about = machine() | {"at": datetime.now(UTC).isoformat(timespec="seconds"), "smoke": plan.smoke}
    rows: list[Row] = []
    for name in given.only or BENCHMARKS:
        for row in importlib.import_module(f"bench.{name}").run(plan):
            rows.append(row)
            console.print(table([row]), end="")
    shown = table(rows)
    console.print(shown)
    if out is not None:
        keep(out, about, rows, shown)
    missed = [f"{row.benchmark} {row.what}: {goal}" for row in rows for goal in row.missed]
    for line in missed:
        console.print(f"[red]missed[/red] {line}")
    return 1 if missed and not plan.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
