"""Writes the dashboards as Grafana reads them: `python -m monitoring.grafana.make_dashboards`.

What each shows is in the modules beside it; here is what Grafana wants of every panel. `dashboards/*.json` is
committed, since Grafana is provisioned from it, and a test compares it with what this makes.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monitoring.grafana.overview import OVERVIEW
from monitoring.grafana.panel import Dashboard, Panel, Row
from monitoring.grafana.pipeline import PIPELINE
from monitoring.grafana.stuck import STUCK

DASHBOARDS = (OVERVIEW, PIPELINE, STUCK)
FOLDER = Path(__file__).parent / "dashboards"
PAGES = "${pages}"
"""A variable, which a link to a dashboard can set (`?var-pages=`): where a browser finds docs/operations/. Prometheus
has it (compose.yaml), as for its alerts."""
PAGES_DEFAULT = "http://127.0.0.1:9090/user"
SCHEMA = 42
"""Of Grafana 12's dashboards."""
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "prometheus"}
OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "colorMode": "background_solid",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    },
    "timeseries": {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"cellHeight": "sm", "showHeader": True},
}
TABLE = [{"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}}}]


def target(number: int, legend: str, expression: str, *, instant: bool) -> dict[str, Any]:
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expression,
        "format": "table" if instant else "time_series",
        "instant": instant,
        "legendFormat": legend,
        "range": not instant,
        "refId": chr(ord("A") + number),
    }


def rendered(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.thresholds]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        style = "dashed" if panel.thresholds else "off"
        defaults |= {
            "color": {"mode": "palette-classic"},
            "custom": {"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}},
            "min": 0,
        }
    page = f"{PAGES}/{panel.page}.md"
    result: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.about} [What to do]({page})",
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "links": [{"title": "What to do", "url": page, "targetBlank": True}],
        "options": OPTIONS[panel.kind],
        "targets": [
            target(index, legend, expression, instant=panel.kind == "table")
            for index, (legend, expression) in enumerate(panel.series.items())
        ],
    }
    if panel.kind == "table":
        result["transformations"] = TABLE
    return result


def laid_out(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The panels of all rows from left to right, each row below a line with its title."""
    result: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        line = {"id": len(result) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place}
        result.append({**line, "panels": []})
        top += 1
        left = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + row.height, 0
            place = {"h": row.height, "w": panel.width, "x": left, "y": top}
            result.append(rendered(panel, len(result) + 1, place))
            left += panel.width
        top += row.height
    return result


def variable(name: str, value: str) -> dict[str, Any]:
    """One that nobody sees."""
    current = {"text": value, "value": value}
    return {"name": name, "type": "textbox", "hide": 2, "query": value, "current": current, "options": [current]}


def dashboard(made: Dashboard) -> dict[str, Any]:
    return {
        "uid": made.uid,
        "title": made.title,
        "description": made.about,
        "tags": ["planner"],
        "editable": False,
        "graphTooltip": 1,
        "links": [
            {"type": "dashboards", "tags": ["planner"], "title": "Planner", "asDropdown": False, "keepTime": True}
        ],
        "panels": laid_out(made.rows),
        "refresh": "30s",
        "schemaVersion": SCHEMA,
        "templating": {"list": [variable("pages", PAGES_DEFAULT)]},
        "time": {"from": f"now-{made.hours}h", "to": "now"},
        "timezone": "browser",
        "version": 1,
    }


def files() -> dict[str, str]:
    """What each file is to hold, by its name."""
    return {f"{made.uid}.json": json.dumps(dashboard(made), indent=1) + "\n" for made in DASHBOARDS}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for stale in FOLDER.glob("*.json"):
        stale.unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
