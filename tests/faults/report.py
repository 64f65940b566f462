"""The result of a run: figures for machines, a table for people."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tests.faults.checker import Verdict
from tests.faults.ledger import read

EXAMPLES = 10
"""Violations of one rule that are shown."""


class Options(Protocol):
    seed: int
    seconds: float
    rate: float
    folder: Path


def result(
    options: Options, verdict: Verdict, audited: Mapping[str, Any], failed_tries: Mapping[str, int]
) -> dict[str, Any]:
    lines = list(read(options.folder / "faults.jsonl"))
    faults = struck(lines)
    drained = next((line["at"] for line in lines if line["what"] == "drained"), None)
    (over,) = (line for line in read(options.folder / "clients.jsonl") if line["what"] == "over")
    last = max((fault["ended"] for fault in faults), default=over["at"])
    examples: dict[str, list[str]] = defaultdict(list)
    for violation in verdict.violations:
        if len(examples[violation.rule]) < EXAMPLES:
            examples[violation.rule].append(violation.case)
    orphans = sum(line["what"] == "orphan" for line in lines)
    missed = [line for line in lines if line["what"] == "began" and line["error"]]
    return {
        "ok": not verdict.violations and drained is not None and audited["status"] == 0 and not orphans,
        "seed": options.seed,
        "seconds": options.seconds,
        "rate": options.rate,
        "figures": verdict.figures,
        "writes_per_second": round(verdict.figures["writes_acknowledged"] / over["seconds"], 1),
        "failed_tries": dict(failed_tries),
        "faults": faults,
        "missed": missed,
        "kinds": by_kind(faults),
        "exits": [line for line in lines if line["what"] == "exit"],
        "orphans": orphans,
        "drain_seconds": None if drained is None else round(max(0.0, drained - last), 2),
        "audit": dict(audited),
        "violations": dict(verdict.by_rule),
        "examples": dict(examples),
    }


def struck(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The faults with their times and what their probes have seen.

    `recovered`: seconds from the fault's end until both probes were told, in the inbox and by mail: one made when it
    began, one made when it was over. `late`: what the first of them took. `alone`: no other fault was on meanwhile.
    """
    began = {line["number"]: line for line in lines if line["what"] == "began"}
    probes = {(line["number"], line["stage"]): line for line in lines if line["what"] == "probe"}
    faults = []
    for line in lines:
        number = line.get("number")
        if line["what"] != "ended" or began[number]["error"]:
            continue
        those = [probes.get((number, stage)) for stage in ("caught", "after")]
        told = [max(probe["inbox"], probe["mail"]) for probe in those if probe is not None]
        caught = those[0]
        faults.append(
            {
                "number": number,
                "kind": line["kind"],
                "target": began[number]["target"],
                "began": began[number]["began"],
                "ended": line["ended"],
                "recovered": round(max(0.0, max(told) - line["ended"]), 2) if len(told) == len(those) else None,
                "late": round(max(caught["inbox"], caught["mail"]) - caught["made"], 2) if caught else None,
                "error": line["error"],
            }
        )
    for fault in faults:
        over = fault["ended"] + (fault["recovered"] or 0)
        fault["alone"] = not any(
            other["began"] < over and other["ended"] + (other["recovered"] or 0) > fault["began"]
            for other in faults
            if other is not fault
        )
    return faults


def by_kind(faults: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for fault in faults:
        kinds[fault["kind"]].append(fault)
    return {kind: _figures(those) for kind, those in sorted(kinds.items())}


def _figures(faults: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    recovered = [fault["recovered"] for fault in faults if fault["recovered"] is not None]
    alone = [fault["recovered"] for fault in faults if fault["recovered"] is not None and fault["alone"]]
    return {
        "number": len(faults),
        "recovered_median": round(median(recovered), 2) if recovered else None,
        "recovered_max": max(recovered, default=None),
        "recovered_max_alone": max(alone, default=None),
        "late_max": max((fault["late"] for fault in faults if fault["late"] is not None), default=None),
    }


def table(found: Mapping[str, Any]) -> str:
    """A run for people to read."""
    figures = found["figures"]
    lines = [
        f"seed {found['seed']}, {found['seconds']:g} s: {'all is well' if found['ok'] else 'SOMETHING IS WRONG'}",
        "",
        f"{'fault':<24}{'times':>6}{'recovered: median':>19}{'max':>7}{'max, alone':>12}{'latest probe':>14}",
    ]
    for kind, row in found["kinds"].items():
        cells = [row["recovered_median"], row["recovered_max"], row["recovered_max_alone"], row["late_max"]]
        shown = ["" if cell is None else f"{cell:.1f} s" for cell in cells]
        lines.append(f"{kind:<24}{row['number']:>6}{shown[0]:>19}{shown[1]:>7}{shown[2]:>12}{shown[3]:>14}")
    lines.append(f"{len(found['kinds'])} kinds{sum(row['number'] for row in found['kinds'].values()):>23}")
    rows = {
        "writes acknowledged": f"{figures['writes_acknowledged']} ({found['writes_per_second']} per second)",
        "writes whose client never learned": figures["writes_unknown"],
        "notifications due": figures["notifications_due"],
        "notifications missing": figures["notifications_missing"],
        "notifications extra": figures["notifications_extra"],
        "deliveries": ", ".join(
            f"{name.removeprefix('deliveries_')} {number}"
            for name, number in figures.items()
            if name.startswith("deliveries_")
        ),
        "mails in the sink": figures["mails"],
        "mails more than once, marked outcome_unknown": figures["mails_more_than_once_marked"],
        "mails more than once, unmarked": figures["mails_more_than_once_unmarked"],
        "from change to mail: median, 99 %, max": " / ".join(
            f"{figures[f'told_by_mail_{name}']:.2f} s" for name in ("p50", "p99", "max")
        ),
        "drained after the last fault": "never" if found["drain_seconds"] is None else f"{found['drain_seconds']} s",
        "requests that had to be sent again": ", ".join(f"{name}: {n}" for name, n in found["failed_tries"].items()),
        "services that ended by themselves": len(found["exits"]),
        "planner audit": f"exit {found['audit']['status']}",
        "violations": figures["violations"],
    }
    lines += ["", *(f"{name:<46}{value}" for name, value in rows.items())]
    for rule, cases in found["examples"].items():
        lines += ["", f"{rule}: {found['violations'][rule]}", *(f"  {case}" for case in islice(cases, EXAMPLES))]
    lines += [f"\nfault {one['number']} {one['kind']}: {one['error']}" for one in found["faults"] if one["error"]]
    lines += [f"\nmissed: fault {one['number']} {one['kind']}: {one['error']}" for one in found["missed"]]
    return "\n".join(lines) + "\n"
