"""`python -m bench.compare BASE [benchmark…]`: runs benchmarks as of another revision and as of now, in turns, and says
which rows became worse. The other gets a checkout and a virtual environment of its own.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.rows import PLANNER
from bench.stack import ROOT

WORSE = 0.9
"""Below this part of what it was a row became worse. Less gets lost in what goes on beside it."""

Key = tuple[str, str]
BASE, NOW = "base", "now"


def run(*command: str | Path, folder: Path = ROOT) -> None:
    subprocess.run(command, check=True, cwd=folder)


def measure(checkout: Path, results: Path, arguments: list[str]) -> dict[Key, dict[str, Any]]:
    """The rows of one run, by benchmark and size."""
    command = [checkout / ".venv/bin/python", "-m", "bench", *arguments, "--out", results]
    done = subprocess.run(command, check=False, cwd=checkout, stdout=subprocess.DEVNULL)
    file = results / "latest.json"
    if not file.exists():
        sys.exit(f"{checkout}: python -m bench ended with {done.returncode} and left no results")
    return {(row["benchmark"], row["what"]): row for row in json.loads(file.read_text())["rows"]}


def take_turns(
    base: Path, results: Path, rounds: int, arguments: list[str]
) -> list[tuple[dict[str, Any], float, float]]:
    """Of each row that both have: what it is, and the medians of both."""
    samples: dict[Key, dict[str, list[float]]] = {}
    rows: dict[Key, dict[str, Any]] = {}
    for number in range(rounds):
        for who, checkout in (BASE, base), (NOW, ROOT):
            for key, row in measure(checkout, results / f"{who}-{number}", [*arguments, "--rounds", "1"]).items():
                samples.setdefault(key, {}).setdefault(who, []).extend(row["samples"][PLANNER])
                rows[key] = row
    both = [(rows[key], found) for key, found in samples.items() if found.keys() == {BASE, NOW}]
    return [(row, median(found[BASE]), median(found[NOW])) for row, found in both]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    parser.add_argument("base", help="a revision, as git names it")
    parser.add_argument("only", nargs="*", help="these benchmarks alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="planner-bench-") as name:
        base = Path(name) / BASE
        run("git", "worktree", "add", "--detach", "--quiet", base, given.base)
        try:
            run("make", "--quiet", ".venv/.bench-installed", folder=base)
            arguments = [*given.only, *(["--smoke"] if given.smoke else [])]
            compared = take_turns(base, Path(name), given.rounds, arguments)
        finally:
            run("git", "worktree", "remove", "--force", base)
    table = Table(title=f"Now, beside {given.base}")
    for column in ("benchmark", "", given.base, "now", "times as good"):
        table.add_column(column)
    ratios = []
    for row, before, now in compared:
        ratios.append(now / before if row["better"] == "more" else before / now)
        verdict = f"{ratios[-1]:.2f}" + (" [red]worse[/red]" if ratios[-1] < WORSE else "")
        figures = [f"{figure:,.4g} {row['unit']}" for figure in (before, now)]
        table.add_row(row["benchmark"], row["what"], *figures, verdict)
    Console(width=160).print(table)
    return 1 if min(ratios, default=1.0) < WORSE and not given.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
