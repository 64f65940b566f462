"""The dashboards in the tree: made by the generator, and such as Grafana reads."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.grafana import make_dashboards

GRAFANA = Path(make_dashboards.__file__).parent
PAGES = GRAFANA.parents[1] / "docs" / "operations"
MADE = {uid: json.loads(text) for uid, text in make_dashboards.files().items()}
UNITS = {"short", "s", "ops", "reqps", "bytes", "percentunit"}
each = pytest.mark.parametrize("dashboard", MADE.values(), ids=MADE.keys())


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_what_is_committed_is_what_the_generator_makes() -> None:
    there = {file.name: file.read_text() for file in make_dashboards.FOLDER.iterdir()}
    assert there == make_dashboards.files(), "python -m monitoring.grafana.make_dashboards"


def test_no_two_dashboards_are_called_the_same() -> None:
    assert len({made["uid"] for made in MADE.values()}) == len({made["title"] for made in MADE.values()}) == len(MADE)
    assert all(re.fullmatch(r"[a-z-]{1,40}", made["uid"]) for made in MADE.values())


@each
def test_panels_have_their_own_ids_titles_and_places(dashboard: dict[str, Any]) -> None:
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows
    assert Counter(panel["id"] for panel in dashboard["panels"]).most_common(1)[0][1] == 1
    titles = Counter((panel["type"] == "row", panel["title"]) for panel in dashboard["panels"])
    assert titles.most_common(1)[0][1] == 1
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= make_dashboards.COLUMNS
    for one, other in combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@each
def test_every_panel_asks_prometheus_and_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["expr"]
            assert target["legendFormat"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


@each
def test_every_panel_links_to_a_page_that_exists(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        [link] = panel["links"]
        assert link["url"] in panel["description"]
        page = PAGES / link["url"].removeprefix("${pages}/")
        assert page.is_file(), (panel["title"], page)


def test_grafana_is_provisioned_with_them() -> None:
    [source, _] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == make_dashboards.SOURCE
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/planner.yml").read_text())["providers"]
    mounts = yaml.safe_load((GRAFANA.parents[1] / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts
