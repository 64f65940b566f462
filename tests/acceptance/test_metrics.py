"""What each service shows to Prometheus, while all of them run."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version

import httpx
import pytest
from planner_api.app import create_app, templates
from planner_api.limits import UNMATCHED
from planner_api.middleware import METHODS
from planner_common import metrics
from planner_common.settings import Settings
from planner_local.client import Person
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tests.acceptance.test_telling import make
from tests.promtool import needs_promtool, promtool
from tests.system import Outside, System, until

SERVICES = ("api", "dispatcher", "worker")
KEY = SecretStr("a key for the routes' sake, long enough")


@pytest.fixture(scope="module")
def system(planner: Outside) -> System:
    if not isinstance(planner, System):
        pytest.skip("Compose shows the metrics to Prometheus alone")
    return planner


def scrape(system: System, service: str) -> str:
    return httpx.get(system.metrics[service], trust_env=False).raise_for_status().text


def families(system: System, service: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(scrape(system, service))}


def value(family: Metric, **labels: str) -> float:
    return sum(
        sample.value
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) and labels.items() <= sample.labels.items()
    )


async def test_they_count_what_happens(system: System, join: Callable[..., Awaitable[Person]]) -> None:
    def counts() -> dict[str, float]:
        all_of_them = {name: found for service in SERVICES for name, found in families(system, service).items()}
        return {
            "created": value(all_of_them["planner_http_requests"], route="/api/v1/events", status="201"),
            "waits": value(all_of_them["planner_database_pool_wait_seconds"]),
            "claims": value(all_of_them["planner_dispatcher_claims"]),
            "messages": value(all_of_them["planner_dispatcher_messages"], queue="fan_out"),
            "tasks": value(all_of_them["planner_tasks"], task="planner.fan_out", state="SUCCESS"),
            "late": value(all_of_them["planner_task_lateness_seconds"], task="planner.fan_out"),
            "notifications": value(all_of_them["planner_notifications_written"]),
        }

    ann, bob = await join("Ann"), await join("Bob")
    before = counts()
    for _ in range(3):
        await make(ann, bob.email)

    def grown() -> dict[str, float]:
        return {name: number - before[name] for name, number in counts().items()}

    until(lambda: grown()["notifications"] == 3 and grown()["tasks"] == grown()["messages"], "all are told")
    found = grown()
    assert found.pop("waits") >= 3
    assert 1 <= found.pop("messages") == found.pop("tasks") == found.pop("late") <= 3
    assert found == {"created": 3, "claims": 3, "notifications": 3}


@pytest.mark.parametrize("service", SERVICES)
def test_each_shows_its_own_and_what_it_is(system: System, service: str) -> None:
    found = families(system, service)
    (build,) = found.pop("planner_build_info").samples
    assert build.labels.items() >= {"service": service, "version": version("planner-common"), "revision": ""}.items()
    assert build.value == 1
    own = {name for name in found if name.startswith("planner_")}
    assert all(name.startswith(metrics.SERVICES[service]) for name in own), own
    assert len(own) > 5


@needs_promtool
@pytest.mark.parametrize("service", SERVICES)
def test_promtool_finds_nothing_to_say(system: System, service: str) -> None:
    assert promtool("check", "metrics", given=scrape(system, service)) == ""


def test_a_client_adds_no_series_whatever_it_asks_for(system: System) -> None:
    """An address, a method or a header of its own making must not become a label."""
    methods = (*METHODS, "PROPFIND", "MKCOL", "REPORT", "PURGE", "M-SEARCH")
    with httpx.Client(base_url=system.url, trust_env=False) as client:
        for number in range(20):
            for path in (f"/{number}", f"/api/v1/events/{number}", f"/api/v1/events?q={number}", "/livez"):
                for method in methods:
                    client.request(method, path, headers={"X-Request-ID": str(number), "User-Agent": str(number)})
        client.get("/livez", headers={"X-HTTP-Method-Override": "BREW"})
    app = create_app(Settings(signing_key=KEY, encryption_keys=KEY))
    routes = {*templates(app).values(), UNMATCHED}
    for service in SERVICES:
        for family in families(system, service).values():
            for sample in family.samples:
                labels = {name: text for name, text in sample.labels.items() if name != "le"}
                if family.name.startswith("planner_http_"):
                    assert labels.pop("route") in routes
                    assert labels.pop("method", "other") in {*METHODS, "other"}
                    assert 200 <= int(labels.pop("status", "200")) < 600
                    assert labels == {}
    of_livez = [
        sample.labels
        for sample in families(system, "api")["planner_http_requests"].samples
        if sample.labels["route"] == "/livez"
    ]
    assert of_livez == [{"method": "GET", "route": "/livez", "status": "200"}]
    series = families(system, "api")["planner_http_requests"].samples
    assert len([sample for sample in series if sample.labels["route"] == UNMATCHED]) <= 3 * (len(METHODS) + 1)


@pytest.mark.parametrize("service", SERVICES)
def test_no_other_label_has_a_value_that_is_not_known(system: System, service: str) -> None:
    known = {}
    for metric, values in metrics.KNOWN.items():
        (family,) = metric.describe()
        known[family.name] = [{str(one) for one in some} for some in values]
    for name, family in families(system, service).items():
        for sample in family.samples:
            labels = {label: text for label, text in sample.labels.items() if label != "le"}
            if labels and name.startswith("planner_") and not name.startswith(("planner_http_", "planner_build_info")):
                assert len(labels) == len(known[name])
                assert all(any(text in some for some in known[name]) for text in labels.values()), sample
