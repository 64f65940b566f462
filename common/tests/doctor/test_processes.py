from collections.abc import Callable

import pytest
from planner_common.doctor import Status
from planner_common.messages import Queue
from planner_common.presence import ALIVE_SECONDS, planner_version, tzdata_version
from sqlalchemy import Connection, text

from common.tests.doctor.conftest import Look

CHECKS = ("api", "dispatcher", "worker", "queues", "process clocks", "versions", "time zones")
Live = Callable[..., None]


@pytest.fixture
def live(connection: Connection) -> Live:
    """A process says that it lives, or did."""
    insert = text("""
        INSERT INTO processes (id, service, version, tzdata, queues, started_at, seen_at, clock)
        SELECT :service || '@a:' || count(*), :service, :version, :tzdata, :queues, now(),
               now() - make_interval(secs => :age), now() - make_interval(secs => :age - :ahead)
          FROM processes
    """)

    def live(
        service: str,
        *,
        queues: tuple[Queue, ...] = (),
        version: str | None = None,
        tzdata: str | None = None,
        age: float = 0,
        ahead: float = 0,
    ) -> None:
        values = {"service": service, "queues": list(queues), "version": version or planner_version()}
        values |= {"tzdata": tzdata or tzdata_version(), "age": age, "ahead": ahead}
        connection.execute(insert, values)

    return live


@pytest.fixture
def alive(live: Live) -> Live:
    """All are there. What is added comes to them."""
    live("api")
    live("dispatcher")
    live("worker", queues=tuple(Queue))
    return live


def test_all_alive_and_alike(look: Look, alive: Live) -> None:
    for name in CHECKS:
        finding = look(name)
        assert (finding.status, finding.advice) == (Status.OK, ""), finding
    assert look("worker").found == "1 alive: worker@a:2"


def test_nobody_there(look: Look) -> None:
    found = {name: look(name) for name in CHECKS}
    assert {name for name, finding in found.items() if finding.status is Status.FAILED} == set(CHECKS[:4])
    assert found["process clocks"].status is Status.UNKNOWN
    assert found["api"].found == "none alive; none was seen for a day"
    assert "docker compose up --detach api" in found["api"].advice


def test_one_that_was_seen_before(look: Look, live: Live) -> None:
    live("worker", queues=tuple(Queue), age=ALIVE_SECONDS + 1)
    assert look("worker").status is Status.FAILED
    assert look("worker").found.startswith(f"none alive; the last was seen {ALIVE_SECONDS + 1} s ago: worker@a:0")
    assert look("queues").status is Status.FAILED


def test_a_queue_that_nobody_consumes(look: Look, live: Live) -> None:
    live("worker", queues=(Queue.FAN_OUT, Queue.DELIVER_URGENT))
    live("worker", queues=(Queue.DELIVER, Queue.DELIVER_BULK))
    finding = look("queues")
    assert (finding.status, finding.found) == (Status.FAILED, "nobody consumes housekeeping")


@pytest.mark.parametrize(("ahead", "status"), [(0.1, Status.OK), (-5, Status.WARNING), (60, Status.FAILED)])
def test_clocks_that_are_apart(look: Look, alive: Live, ahead: float, status: Status) -> None:
    alive("worker", ahead=ahead)
    finding = look("process clocks")
    assert finding.status is status
    assert f"at most {abs(ahead):.2f} s from PostgreSQL's (worker@a:3)" in finding.found


def test_another_version(look: Look, alive: Live) -> None:
    alive("worker", version="0.0.1", age=ALIVE_SECONDS + 1)
    assert look("versions").status is Status.OK
    alive("worker", version="0.0.1")
    finding = look("versions")
    assert finding.status is Status.WARNING
    assert "0.0.1 (worker@a:4)" in finding.found


def test_other_zones_wherever_they_come_from(look: Look, alive: Live) -> None:
    same = tzdata_version().partition(" ")[0]
    alive("worker", tzdata=f"{same} (elsewhere)")
    assert look("time zones").status is Status.OK
    alive("worker", tzdata="1999z (package)")
    finding = look("time zones")
    assert finding.status is Status.WARNING
    assert "1999z (worker@a:4)" in finding.found
