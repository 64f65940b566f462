"""Every panel, asked of a real Prometheus after known traffic: no error, nothing empty, nothing wrong."""

import json
import math
import re
from typing import Any

import pytest
from planner_local.client import Person

from monitoring.grafana import make_dashboards
from tests.compose.conftest import Join
from tests.monitoring import asking
from tests.monitoring.expected import Bounds, after
from tests.monitoring.traffic import Traffic, send
from tests.system import Outside

pytestmark = [pytest.mark.compose, pytest.mark.usefixtures("watched")]

PANELS = [
    (made["uid"], panel)
    for made in map(json.loads, make_dashboards.files().values())
    for panel in made["panels"]
    if panel["type"] != "row"
]


@pytest.fixture(scope="module")
async def traffic(watched: None, planner: Outside, join: Join) -> Traffic:
    ann: Person = await join("Ann")
    return await send(planner, ann, await join("Bob"))


def series(panel: dict[str, Any], traffic: Traffic) -> dict[str, float]:
    """The panel's series by legend, each range of time being that of the traffic."""
    found: dict[str, float] = {}
    for target in panel["targets"]:
        expression = re.sub(r"\[(?:\$\w+|\d+[smhd])\]", f"[{traffic.seconds}s]", target["expr"])
        assert "$" not in expression, f"a variable that nobody sets: {expression}"
        for labels, number in asking.query(expression, traffic.end):
            legend = asking.legend(target["legendFormat"], labels).strip()
            assert legend not in found, f"two series are called {legend}: {expression}"
            found[legend] = number
    return found


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=[f"{uid}: {panel['title']}" for uid, panel in PANELS])
def test_a_panel_says_what_is(uid: str, panel: dict[str, Any], traffic: Traffic) -> None:
    expected = after(traffic)[uid][panel["title"]]
    found = series(panel, traffic)
    assert found, "the panel is empty"
    wrong: dict[str, Bounds | str] = {
        name: bounds for name, bounds in expected.series.items() if not lies(found.get(name, math.nan), bounds)
    }
    others = {name: number for name, number in found.items() if name not in expected.series}
    if expected.others is None:
        wrong |= dict.fromkeys(others, "unexpected")
    else:  # a quantile of nothing is no number
        wrong |= {
            name: expected.others
            for name, number in others.items()
            if not lies(number, expected.others) and not math.isnan(number)
        }
    assert wrong == {}, found


def lies(number: float, bounds: Bounds) -> bool:
    return bounds[0] <= number <= bounds[1]


def test_nothing_is_expected_of_panels_that_are_gone(traffic: Traffic) -> None:
    titles = {(uid, title) for uid, panels in after(traffic).items() for title in panels}
    assert titles == {(uid, panel["title"]) for uid, panel in PANELS}
