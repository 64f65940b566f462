"""The results of many runs as tables in Markdown, for docs/reliability.md."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tests.faults.checker import quantile

Result = Mapping[str, Any]

COLUMNS = (
    "seed",
    "faults",
    "kinds",
    "writes acknowledged",
    "per second",
    "never answered",
    "notifications due",
    "missing",
    "extra",
    "mails",
    "came again, marked",
    "came again, unmarked",
    "drained in",
    "violations",
)
SUMMED = {
    "writes acknowledged": "writes_acknowledged",
    "never answered": "writes_unknown",
    "notifications due": "notifications_due",
    "missing": "notifications_missing",
    "extra": "notifications_extra",
    "mails": "mails",
    "came again, marked": "mails_more_than_once_marked",
    "came again, unmarked": "mails_more_than_once_unmarked",
    "violations": "violations",
}


def markdown(results: Sequence[Result]) -> str:
    """One table of the runs, one of the kinds of fault."""
    finished = [result for result in results if "figures" in result]
    rows = [_row(result) if "figures" in result else [str(result["seed"]), "did not end"] for result in results]
    if len(finished) > 1:
        rows.append(_all(finished))
    return "\n".join([*_table(COLUMNS, rows), "", *_table(KINDS, _kinds(finished)), ""])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return ["| " + " | ".join([*line, *[""] * (len(heads) - len(line))]) + " |" for line in lines]


def _row(result: Result) -> list[str]:
    figures = result["figures"]
    cells: dict[str, object] = {name: figures[key] for name, key in SUMMED.items()}
    cells |= {"seed": result["seed"], "faults": len(result["faults"]), "kinds": len(result["kinds"])}
    cells |= {"per second": result["writes_per_second"], "drained in": _seconds(result["drain_seconds"])}
    return [_shown(cells[column]) for column in COLUMNS]


def _all(results: Sequence[Result]) -> list[str]:
    cells: dict[str, object] = {name: sum(result["figures"][key] for result in results) for name, key in SUMMED.items()}
    drains = [result["drain_seconds"] for result in results if result["drain_seconds"] is not None]
    cells |= {
        "seed": "**all**",
        "faults": sum(len(result["faults"]) for result in results),
        "kinds": len({kind for result in results for kind in result["kinds"]}),
        "per second": round(sum(result["writes_per_second"] for result in results) / len(results), 1),
        "drained in": f"≤ {_seconds(max(drains, default=None))}",
    }
    return [_shown(cells[column]) for column in COLUMNS]


KINDS = ("fault", "times", "recovered: median", "95 %", "max", "max, no other fault meanwhile")


def _kinds(results: Sequence[Result]) -> list[list[str]]:
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        for fault in result["faults"]:
            kinds[fault["kind"]].append(fault)
    rows = []
    for kind, faults in sorted(kinds.items()):
        took = sorted(fault["recovered"] for fault in faults if fault["recovered"] is not None)
        alone = [fault["recovered"] for fault in faults if fault["alone"] and fault["recovered"] is not None]
        figures = (median(took), quantile(took, 0.95), took[-1], max(alone, default=None)) if took else (None,) * 4
        rows.append([kind, str(len(faults)), *map(_seconds, figures)])
    return rows


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
