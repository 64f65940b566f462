"""Something is away: within a minute the alert that says so fires, it alone wakes somebody, and it ends when what was
away is back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.compose.conftest import Join
from tests.compose.stack import compose, is_healthy, python, until
from tests.compose.test_faults import SCRAPE
from tests.monitoring import asking
from tests.monitoring.traffic import ask

pytestmark = [pytest.mark.compose, pytest.mark.usefixtures("watched")]

SECONDS = 60
CAUSES = {
    "worker": "PlannerWorkersGone",
    "dispatcher": "PlannerDispatcherSilent",
    "redis": "PlannerRedisAway",
    "postgres": "PlannerPostgresAway",
}
SYMPTOM = "PlannerCanaryLate"
MEASURED = {"redis": "planner_queue_depth", "postgres": "planner_backlog"}
"""What the exporter cannot know without it."""

# The main process is the child of docker-init; the children that tasks run in are its own.
FREEZE_A_CHILD = """
import os, pathlib, signal
parents = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    name, _, rest = (process / "stat").read_text().rpartition(")")
    parents[int(process.name)] = int(rest.split()[1])
main = [process for process, parent in parents.items() if parent == 1]
children = [process for process, parent in parents.items() if parent in main]
assert len(children) == 2, parents
os.kill(children[0], signal.SIGSTOP)
"""


class Pager:
    """Who is woken, from when this is made on: it is asked whenever something is waited for."""

    def __init__(self) -> None:
        self.rings: set[str] = set()
        """For what, when it was asked last."""
        self.rang: set[str] = set()
        """For what, so far."""

    def until_fires(self, alert: str) -> None:
        until(lambda: alert in self.look(), f"{alert} fires", SECONDS)

    def until_ended(self, alert: str, seconds: float = SECONDS) -> None:
        until(lambda: alert not in self.look(), f"{alert} ends", seconds)

    def until_quiet(self) -> None:
        """Nobody would be woken any more."""

        def quiet() -> bool:
            self.look()
            return not self.rings

        try:
            until(quiet, "nobody is woken", SECONDS)
        except TimeoutError:
            pytest.fail(f"still, after {SECONDS} s: {self.rings}")

    def look(self) -> dict[str, str]:
        """What fires."""
        self.rings = asking.paging()
        self.rang |= self.rings
        return asking.firing()


@pytest.fixture(scope="module", autouse=True)
def unhurried(watched: None) -> None:
    """How fast this machine answers is not what is tried here."""
    asking.silence("Planner(Latency|Notification)Burn.+")


@pytest.fixture
def pager() -> Pager:
    Pager().until_quiet()
    return Pager()


@contextmanager
def without(service: str) -> Iterator[None]:
    """Killed, and not started again by itself: the seconds that an orderly stop takes are not divided by ten."""
    compose("kill", service)
    try:
        yield
    finally:
        compose("start", service)
        until(lambda: is_healthy(service), f"{service} is back", 2 * SECONDS)


@pytest.mark.parametrize(("service", "cause"), CAUSES.items())
def test_an_outage_wakes_by_its_cause_alone(service: str, cause: str, pager: Pager) -> None:
    with without(service):
        begun = time.time()
        pager.until_fires(cause)
        assert time.time() - begun < SECONDS
        pager.until_fires(SYMPTOM)  # which is kept from ringing
        if service in MEASURED:
            check_that_nothing_is_made_up(MEASURED[service], begun)
        assert pager.rang == {cause}
    pager.until_ended(cause)
    pager.until_quiet()


def check_that_nothing_is_made_up(metric: str, since: float) -> None:
    """The exporter says that it does not know, and Prometheus has no sample of the outage, least of all a 0."""
    assert python("exporter", SCRAPE) == "500\n"
    assert asking.value('up{job="exporter"}') == 0
    [error] = [target["lastError"] for target in asking.targets() if target["labels"]["job"] == "exporter"]
    assert "HTTP status 500" in error
    assert "PlannerExporterFailing" in asking.firing()
    now = time.time()
    assert asking.samples_of(metric, since - 10, since), f"there was no {metric} before"
    assert asking.samples_of(metric, since, now) == []


async def test_a_stuck_child_is_reported_and_nobody_is_woken(pager: Pager, join: Join) -> None:
    """The worker kills it and goes on: no other alert than that, and it ends by itself."""
    ann, bob = await join("Ann"), await join("Bob")
    before = asking.value("sum(planner_worker_stuck_children_total)")
    python("worker", FREEZE_A_CHILD)
    await ask(ann, bob, looks=0, missing=0, events=10)  # so many that both children are given some
    pager.until_fires("PlannerWorkerChildStuck")
    assert asking.value("sum(planner_worker_stuck_children_total)") == (before or 0) + 1
    until(lambda: asking.value("sum(planner_worker_children)") == 2, "there is another child")
    pager.until_ended("PlannerWorkerChildStuck", 2 * SECONDS)
    assert pager.rang == set()
