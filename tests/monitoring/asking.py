"""What Prometheus and Alertmanager of a stack say."""

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

PROMETHEUS = f"http://127.0.0.1:{os.environ.get('PROMETHEUS_PORT', '9090')}/api/v1"
ALERTMANAGER = f"http://127.0.0.1:{os.environ.get('ALERTMANAGER_PORT', '9093')}/api/v2"

Sample = tuple[dict[str, str], float]


def _get(url: str, **params: Any) -> Any:
    answer = httpx.get(url, params=params, trust_env=False, timeout=30)
    if answer.is_error:
        raise AssertionError(f"{params.get('query', url)}: {answer.text}")
    return answer.json()


def query(expression: str, at: float | None = None) -> list[Sample]:
    """What the expression yields, at that time or now. Raises AssertionError with what Prometheus finds wrong."""
    data = _get(f"{PROMETHEUS}/query", query=expression, **({"time": at} if at else {}))["data"]
    assert data["resultType"] == "vector", f"{expression} yields a {data['resultType']}"
    return [(series["metric"], float(series["value"][1])) for series in data["result"]]


def value(expression: str, at: float | None = None) -> float | None:
    """The only number that the expression yields, if it yields any."""
    samples = query(expression, at)
    assert len(samples) <= 1, f"{expression} yields {samples}"
    return samples[0][1] if samples else None


def samples_of(metric: str, start: float, end: float) -> list[tuple[float, float]]:
    """Every sample, of all its series, that was taken after `start` and until `end`, with its time."""
    data = _get(f"{PROMETHEUS}/query", query=f"{metric}[{int((end - start) * 1000)}ms]", time=end)["data"]
    return [(float(at), float(number)) for series in data["result"] for at, number in series["values"]]


def targets() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _get(f"{PROMETHEUS}/targets", state="active")["data"]["activeTargets"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in _get(f"{PROMETHEUS}/rules")["data"]["groups"] for rule in group["rules"]]


def firing() -> dict[str, str]:
    """The severity of each alert that fires, by its name."""
    found = [alert for alert in _get(f"{PROMETHEUS}/alerts")["data"]["alerts"] if alert["state"] == "firing"]
    return {alert["labels"]["alertname"]: alert["labels"]["severity"] for alert in found}


def paging() -> set[str]:
    """The alerts that wake somebody: critical ones that Alertmanager has, neither silenced nor inhibited."""
    found = _get(f"{ALERTMANAGER}/alerts", active=True, silenced=False, inhibited=False, filter='severity="critical"')
    return {alert["labels"]["alertname"] for alert in found}


def silence(alerts: str) -> None:
    """For an hour nobody is woken by the alerts whose names match."""
    now = datetime.now(UTC)
    matcher = {"name": "alertname", "value": alerts, "isRegex": True, "isEqual": True}
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    body = {"matchers": [matcher], **times, "createdBy": "tests", "comment": "tests"}
    httpx.post(f"{ALERTMANAGER}/silences", json=body, trust_env=False).raise_for_status()


def alertmanagers() -> list[str]:
    """Where Prometheus sends its alerts."""
    return [one["url"] for one in _get(f"{PROMETHEUS}/alertmanagers")["data"]["activeAlertmanagers"]]


def legend(template: str, labels: dict[str, str]) -> str:
    """What Grafana calls a series."""
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda label: labels.get(label[1], ""), template)
