"""The page for operators names every metric, and says of each what it says of itself."""

from collections.abc import Iterable
from pathlib import Path

from planner_common import metrics
from planner_exporter.__main__ import Exporter
from planner_exporter.canary import Metrics
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from tests.promtool import needs_promtool, promtool

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"


def line(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    shown = name + "_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"


def counted(collector: MetricWrapperBase) -> str:
    (family,) = collector.describe()
    return line(family.name, family.type, collector._labelnames, family.documentation)


def measured(family: Metric) -> str:
    return line(family.name, family.type, getattr(family, "_labelnames", ()), family.documentation)


def test_the_page_has_a_line_for_each_as_it_is(exporter: Exporter) -> None:
    catalogue = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    canary = vars(Metrics(CollectorRegistry())).values()
    due = {
        *map(counted, catalogue),
        *(counted(one) for one in canary if isinstance(one, MetricWrapperBase)),
        *map(measured, exporter.measurements.collect()),
    }
    there = {text for text in PAGE.read_text().splitlines() if text.startswith("| `planner_")}
    assert there == due, "\n".join(sorted(due - there))


@needs_promtool
def test_promtool_finds_nothing_to_say(exporter: Exporter) -> None:
    canary = CollectorRegistry()
    Metrics(canary)
    for registry in (exporter.registry, canary):
        assert promtool("check", "metrics", given=generate_latest(registry).decode()) == ""
