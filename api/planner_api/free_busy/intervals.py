"""Intervals of time and what is made of them. An interval holds its start and not its end."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Literal, NamedTuple

BusyType = Literal["BUSY", "BUSY-TENTATIVE"]
"""As RFC 5545 §3.2.9 (FBTYPE) has them."""

Gap = tuple[datetime, datetime]


class Busy(NamedTuple):
    start: datetime
    end: datetime
    type: BusyType = "BUSY"


def merged(intervals: Iterable[Busy], begin: datetime, end: datetime) -> list[Busy]:
    """What they cover between two instants, in order and without overlaps. Where both types meet, it is BUSY."""
    edges: list[tuple[datetime, BusyType, int]] = []
    for one in intervals:
        start, stop = max(one.start, begin), min(one.end, end)
        if start < stop:
            edges += [(start, one.type, 1), (stop, one.type, -1)]
    edges.sort()
    found: list[Busy] = []
    running: dict[BusyType, int] = {"BUSY": 0, "BUSY-TENTATIVE": 0}
    for (at, kind, step), (until, _, _) in pairwise(edges):
        running[kind] += step
        if at == until or not (running["BUSY"] or running["BUSY-TENTATIVE"]):
            continue
        now: BusyType = "BUSY" if running["BUSY"] else "BUSY-TENTATIVE"
        if found and (found[-1].end, found[-1].type) == (at, now):
            found[-1] = found[-1]._replace(end=until)
        else:
            found.append(Busy(at, until, now))
    return found


def gaps(covered: Iterable[Busy], begin: datetime, end: datetime) -> Iterator[Gap]:
    """What they leave free between two instants, in order. They are in order themselves, and overlap nowhere."""
    for one in covered:
        if begin < min(one.start, end):
            yield begin, min(one.start, end)
        begin = max(begin, one.end)
    if begin < end:
        yield begin, end
