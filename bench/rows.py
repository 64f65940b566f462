"""What a benchmark brings home: rows of samples, Planner's beside those of its limit and its peers, and what is to be
reached.

Absolute figures on a machine that others use say little. Ratios of one run, whose contestants took turns, say more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

PLANNER, LIMIT = "planner", "limit"

Contestant = Callable[[], float]
"""Makes one sample."""


@dataclass(frozen=True)
class Goal:
    """What Planner is to reach: `ratio` times as good as another contestant, or a figure of its own that is `at_most`
    so much."""

    beside: str | None = None
    ratio: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.ratio:g} × {self.beside}" if self.beside else f"≤ {self.at_most:g}"


@dataclass
class Row:
    """One line of the table: a benchmark in one size. `more` says whether more of the unit is better."""

    benchmark: str
    what: str
    unit: str
    samples: dict[str, list[float]]
    more: bool = True
    goals: list[Goal] = field(default_factory=list)
    note: str = ""

    def median(self, contestant: str = PLANNER) -> float:
        return median(self.samples[contestant])

    def spread(self, contestant: str = PLANNER) -> float:
        """From the least sample to the greatest, as a part of the median."""
        samples = self.samples[contestant]
        return (max(samples) - min(samples)) / median(samples) if median(samples) else 0.0

    def ratio(self, other: str) -> float:
        """How many times as good as the other Planner is; below 1 it is worse."""
        ours, theirs = self.median(), self.median(other)
        return ours / theirs if self.more else theirs / ours

    def reaches(self, goal: Goal) -> bool:
        if goal.beside is not None and goal.ratio is not None:
            return self.ratio(goal.beside) >= goal.ratio
        return goal.at_most is not None and self.median() <= goal.at_most

    @property
    def missed(self) -> list[Goal]:
        return [goal for goal in self.goals if not self.reaches(goal)]

    def as_json(self) -> dict[str, Any]:
        others = [name for name in self.samples if name != PLANNER]
        return {
            "benchmark": self.benchmark,
            "what": self.what,
            "unit": self.unit,
            "better": "more" if self.more else "less",
            "samples": self.samples,
            "median": {name: self.median(name) for name in self.samples},
            "spread": {name: self.spread(name) for name in self.samples},
            "ratio": {name: self.ratio(name) for name in others},
            "goals": [{"goal": str(goal), "reached": self.reaches(goal)} for goal in self.goals],
            "note": self.note,
        }


def in_turns(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """As many samples of each as there are rounds. Who begins changes from round to round, so that none always comes
    after the same other."""
    names = list(contestants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(contestants[name]())
    return samples
