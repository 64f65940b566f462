"""When which fault happens: drawn at random from a seed, so that a run can be repeated."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

FIRST_AFTER = 3.0
GAPS = (2.0, 5.0)
"""Seconds between the beginnings of faults: at least, at most."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A kind of fault, for the drawing of lots."""

    strikes: frozenset[str]
    """What it takes away. Two faults never strike the same at once; of different things they may."""
    seconds: tuple[float, float]
    """How long it lasts: at least, at most. Where something was killed: until it is started again."""


@dataclass(frozen=True, slots=True)
class Planned:
    number: int
    kind: str
    at: float
    """Seconds after the beginning of the run."""
    seconds: float
    pick: float
    """From 0 to 1: which one, where there are several."""

    @property
    def until(self) -> float:
        return self.at + self.seconds


def schedule(seed: int, seconds: float, specs: Mapping[str, Spec], settling: float = 3.0) -> Iterator[Planned]:
    """The faults of a run, in order, all of them over after `seconds`.

    The kinds are dealt like cards, so that each comes up before any comes up twice more than the others; one whose turn
    it is while what it strikes is struck already keeps its place in the hand. `settling`: what a fault has struck is
    left alone for so long afterwards.
    """
    lots = Random(seed)  # noqa: S311  # to be repeated
    hand: list[str] = []
    free_at = dict.fromkeys((thing for spec in specs.values() for thing in spec.strikes), 0.0)
    at, number = FIRST_AFTER, 0
    while at < seconds:
        if len(hand) < len(specs) // 2:
            deck = sorted(specs)
            lots.shuffle(deck)
            hand += deck
        lasts = {kind: lots.uniform(*specs[kind].seconds) for kind in dict.fromkeys(hand)}
        possible = [
            kind
            for kind, length in lasts.items()
            if at + length <= seconds and all(free_at[thing] <= at for thing in specs[kind].strikes)
        ]
        if possible:
            kind = possible[0]
            hand.remove(kind)
            for thing in specs[kind].strikes:
                free_at[thing] = at + lasts[kind] + settling
            yield Planned(number, kind, at, lasts[kind], lots.random())
            number += 1
        at += lots.uniform(*GAPS)
