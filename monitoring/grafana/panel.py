"""What a dashboard is made of, and how questions to Prometheus are put: the answer is a number even when nothing
happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Thresholds = Sequence[tuple[float, str]]

ANY: Thresholds = ((1, "red"),)
"""One is one too many."""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    about: str
    """One sentence on what is shown, and what is normal."""
    page: str
    """The page below docs/operations/ that says what to do, without `.md`."""
    unit: str
    """One of Grafana's: `s`, `reqps`, `ops`, `bytes`, `percentunit`, `short` …"""
    series: dict[str, str]
    """The legend, with `{{label}}`, and the expression. What it yields has a legend of its own for each series."""
    kind: Literal["stat", "timeseries", "table"] = "timeseries"
    width: int = 8
    thresholds: Thresholds = ()
    """From which value on it has which colour; below, it is green."""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]
    height: int = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    about: str
    hours: int
    """How far it looks back."""
    rows: Sequence[Row]


def rate(metric: str, by: str = "") -> str:
    """Per second, of each label value in `by` or of all together; 0 if there is no such series yet."""
    return or_zero(f"{_sum(by)}(rate({metric}[$__rate_interval]))", by)


def increase(metric: str, by: str = "") -> str:
    """How many within the last interval that is drawn, likewise."""
    return or_zero(f"{_sum(by)}(increase({metric}[$__rate_interval]))", by)


def quantile(q: float, histogram: str, by: str = "") -> str:
    """The quantile of what was observed within the interval; without observations it is no number."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def quantiles(histogram: str, by: str = "") -> dict[str, str]:
    """The half took no longer, and 99 of 100."""
    label = f"{{{{{by}}}}} " if by else ""
    return {f"{label}p50": quantile(0.5, histogram, by), f"{label}p99": quantile(0.99, histogram, by)}


def or_zero(expression: str, by: str = "") -> str:
    """A 0, with `-` in place of the first label, where there is nothing to add up: no line looks like no data."""
    first = by.partition(",")[0]
    zero = f'label_replace(vector(0), "{first}", "-", "", "")' if first else "vector(0)"
    return f"{expression} or on() {zero}"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
