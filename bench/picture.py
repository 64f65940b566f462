"""The results as a picture: for each row, how many times as good as the others Planner is, on a logarithmic scale."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.rows import LIMIT, PLANNER, Row

mpl.rcParams["svg.hashsalt"] = "planner"  # the same results, the same file


def draw(rows: list[Row], file: Path) -> None:
    bars = [
        (f"{row.benchmark}: {row.what}", other, row.ratio(other))
        for row in rows
        for other in row.samples
        if other != PLANNER
    ]
    figure = Figure(figsize=(10, 0.32 * len(bars) + 1), layout="tight")
    axes = figure.subplots()
    places = range(len(bars), 0, -1)
    colours = ["#8a8a8a" if other == LIMIT else "#2e7d32" for _, other, _ in bars]
    axes.barh(list(places), [ratio for *_, ratio in bars], color=colours)
    axes.set_yticks(list(places), [f"{what} / {other}" for what, other, _ in bars], fontsize=7)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    for place, (_, _, ratio) in zip(places, bars, strict=True):
        axes.annotate(f" {ratio:.3g} ×", (ratio, place), fontsize=7, va="center")
    axes.set_title("Planner beside its limit (grey) and its peers (green): more is better", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
