"""The API's metrics: of one process and of several, some of which are killed."""

import asyncio
from pathlib import Path

import psutil
import pytest
from planner_api.database import DatabaseAwayError, begin, connect, make_engine, show
from planner_common.settings import Settings

from api.tests.conftest import PASSWORD, until
from api.tests.test_launcher import LIVEZ, Api, started
from common.tests.samples import sample

EMAIL = "ann@example.org"
COUNT = 'planner_http_request_duration_seconds_count{method="GET",route="/livez"}'
BUCKET = 'planner_http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/livez"}'


def children(api: Api) -> list[psutil.Process]:
    """The processes that serve."""
    found = psutil.Process(api.process.pid).children()
    return [child for child in found if "multiprocessing.spawn" in " ".join(child.cmdline())]


def log_in(api: Api) -> dict[str, str]:
    account = {"email": EMAIL, "password": PASSWORD, "name": "Ann"}
    api.http.post(f"{api.url}/api/v1/auth/register", json=account).raise_for_status()
    form = {"username": EMAIL, "password": PASSWORD}
    answer = api.http.post(f"{api.url}/api/v1/auth/token", data=form).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_what_killed_processes_counted_stays_and_what_they_showed_goes(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    several = {"API_PROCESSES": "2", "PROMETHEUS_MULTIPROC_DIR": str(folder), "DATABASE_POOL": "7"}
    with started(settings, **several) as api:
        token, asked = log_in(api), 0

        def ask() -> None:
            nonlocal asked
            for _ in range(25):
                assert api.http.get(f"{api.url}/livez").status_code == 200
                asked += 1

        def is_right() -> None:
            assert [api.metric(name) for name in (LIVEZ, COUNT, BUCKET)] == [asked] * 3

        for is_looked_at in (True, False):  # before others take the places of the killed
            ask()
            api.wait_until(lambda: api.metric("planner_database_pool_limit") == 14, "two pools")
            with api.http.stream("GET", f"{api.url}/api/v1/notifications/stream", headers=token) as stream:
                assert stream.status_code == 200
                api.wait_until(lambda: api.metric("planner_streams") == 1, "one stream")
                killed = children(api)
                for child in killed:
                    child.kill()
                psutil.wait_procs(killed)
                if is_looked_at:
                    is_right()
                    assert api.metric("planner_streams") == 0
                    assert api.metric("planner_database_pool_limit") == 0
            api.wait_until(api.is_ready, "ready again")
            ask()
            is_right()
            assert api.metric("planner_streams") == 0
        assert api.metric('planner_build_info{python="') == 1
        places = {file.stem.rpartition("_")[2] for file in folder.glob("*.db")}
        assert len(places) <= 4  # the main process, the two, and one for who found a place just being looked at


def test_one_process_keeps_its_numbers_in_memory(settings: Settings, tmp_path: Path) -> None:
    with started(settings, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")) as api:
        assert api.http.get(f"{api.url}/livez").status_code == 200
        assert api.metric(LIVEZ) == 1
        assert api.metric("process_resident_memory_bytes") > 0
        assert list(tmp_path.iterdir()) == []


async def test_the_pool_shows_what_is_used_and_who_waits(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(used: int, idle: int) -> bool:
        name = "planner_database_pool_connections"
        return (sample(name, state="used"), sample(name, state="idle")) == (used, idle)

    monkeypatch.setattr("planner_api.database.ACQUIRE_SECONDS", 0.1)
    monkeypatch.setattr("planner_api.database.SHOWN_SECONDS", 0.01)
    engine = make_engine(settings.model_copy(update={"database_pool": 2}))
    showing = asyncio.create_task(show(engine))
    assert sample("planner_database_pool_limit") == 2
    waits, timeouts = sample("planner_database_pool_wait_seconds_count"), sample("planner_database_pool_timeouts_total")
    try:
        async with begin(engine):
            await until(lambda: shown(1, 0))
            async with connect(engine):
                await until(lambda: shown(2, 0))
                with pytest.raises(DatabaseAwayError):
                    async with connect(engine):
                        pass
                assert sample("planner_database_pool_timeouts_total") == timeouts + 1
            await until(lambda: shown(1, 1))
        await until(lambda: shown(0, 2))
        assert sample("planner_database_pool_wait_seconds_count") == waits + 2
    finally:
        showing.cancel()
        await engine.dispose()
