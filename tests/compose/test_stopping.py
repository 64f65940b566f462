"""Services stop and are replaced under load: in order, in time, and nobody misses a thing or is told twice."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.compose.conftest import Join
from tests.compose.stack import compose, containers, execute, is_healthy, restarts, run, service_of, until
from tests.system import Outside

Load = Callable[[], AbstractAsyncContextManager[None]]
SINK = Path(__file__).parents[1] / "monitoring" / "sink.py"
OURS = ("api", "dispatcher", "worker", "flower", "exporter", "canary")
# Main processes are children of docker-init, and a worker's children are theirs.
GRANDCHILDREN = "for main in $(cat /proc/1/task/1/children); do cat /proc/$main/task/*/children; done"
STATES = "cat /proc/[0-9]*/status | grep ^State:"


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a container that takes the stack's mails."""
    project = os.environ["COMPOSE_PROJECT_NAME"]
    name = f"{project}-sink"
    run(
        "docker", "run", "--detach", "--name", name, "--network", f"{project}_egress", "--network-alias", "sink",
        "--volume", f"{SINK}:/sink.py:ro", f"planner-worker:{os.environ['PLANNER_TAG']}", "python", "/sink.py",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("smtp")
    for path in (folder, *list(folder.parents)[:2]):
        path.chmod(0o755)  # the services are other users
    (folder / "url").write_text("smtp://sink:2525\n")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SMTP_URL_FILE", str(folder / "url"))
            up("--no-deps", "api", "worker")
            yield name
    finally:
        run("docker", "rm", "--force", name)
    up()


@pytest.fixture
def load(sink: str, join: Join, planner: Outside) -> Load:
    """`async with load():` events are made meanwhile. In the end who is in them was told, and a guest by mail: once."""

    @asynccontextmanager
    async def load() -> AsyncIterator[None]:
        ann, bob = await join("Ann"), await join("Bob")
        guest = f"guest-of-{ann.email}"
        made: list[str] = []

        async def go_on() -> None:
            people = [{"email": bob.email}, {"email": guest}]
            while True:
                try:
                    answer = await ann.call("POST", "/events", json=DINNER | {"participants": people})
                    made.append(answer.json()["id"])
                except httpx.TransportError:
                    await asyncio.sleep(0.05)

        making = asyncio.create_task(go_on())
        try:
            await asyncio.sleep(1)
            yield
            number = len(made)
            await asyncio.to_thread(until, lambda: len(made) >= number + 5, "more events")
        finally:
            making.cancel()
            with suppress(asyncio.CancelledError):
                await making
        assert await asyncio.to_thread(planner.faults) == (0, 0, 0)
        inbox = Counter([item["event"]["id"] async for item in bob.items("/notifications")])
        assert set(made) <= set(inbox)
        assert set(inbox.values()) == {1}
        await asyncio.to_thread(until, lambda: len(mails(sink, guest)) >= len(inbox), "the mails")
        assert len(mails(sink, guest)) == len(set(mails(sink, guest))) == len(inbox)

    return load


def up(*what: str) -> None:
    compose("up", "--detach", "--wait", *what, timeout=300)


def mails(sink: str, recipient: str) -> list[str]:
    """The Message-IDs of the mails to somebody, as often as they came."""
    lines = [line.split() for line in run("docker", "logs", sink).splitlines()]
    return [line[3] for line in lines if line[:3] == ["mail", "to", recipient]]


def ends() -> dict[str, tuple[str, int]]:
    found = {service_of(one): one["State"] for one in containers()}
    return {name: (found[name]["Status"], found[name]["ExitCode"]) for name in OURS}


async def test_services_that_are_stopped_end_in_order_and_in_time(load: Load) -> None:
    async with load():
        await asyncio.to_thread(compose, "stop", *OURS)
        assert ends() == dict.fromkeys(OURS, ("exited", 0))
        await asyncio.to_thread(up)


async def test_services_are_replaced_one_by_one_or_joined_by_others(load: Load) -> None:
    """A rolling upgrade, and workers that come and go."""
    async with load():
        for service in ("dispatcher", "worker", "api"):
            await asyncio.to_thread(up, "--no-deps", "--force-recreate", service)
        await asyncio.to_thread(up, "--no-deps", "--scale", "worker=2", "worker")
        await asyncio.to_thread(up, "--no-deps", "--scale", "worker=1", "worker")


async def test_a_signal_reaches_the_service_behind_process_1(load: Load) -> None:
    async with load():
        await asyncio.to_thread(compose, "kill", "--signal", "TERM", *OURS)
        ended = dict.fromkeys(OURS, ("exited", 0))
        await asyncio.to_thread(until, lambda: ends() == ended, "all have ended in order")
        await asyncio.to_thread(up)


def test_process_1_collects_what_others_leave_behind() -> None:
    for service in OURS:
        execute(service, "sh", "-c", "(sh -c 'exit 1' & sh -c 'exit 2' &) ; true")

        def clean(service: str = service) -> bool:
            return "Z" not in execute(service, "sh", "-c", STATES).replace("State:", "")

        until(clean, f"no zombies in {service}")


async def test_frozen_children_are_replaced_and_the_container_stays(load: Load) -> None:
    before = restarts("worker")
    frozen = execute("worker", "sh", "-c", GRANDCHILDREN).split()
    assert len(frozen) == 2
    execute("worker", "sh", "-c", f"kill -STOP {' '.join(frozen)}")

    def replaced() -> bool:
        now = execute("worker", "sh", "-c", GRANDCHILDREN).split()
        return len(now) == 2 and not set(now) & set(frozen)

    async with load():
        await asyncio.to_thread(until, replaced, "there are others in their places")
    assert restarts("worker") == before
    assert is_healthy("worker")


DINNER = {
    "title": "Dinner",
    "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
}
