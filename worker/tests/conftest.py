"""The worker's code in this process, against the suite's PostgreSQL and Valkey."""

from collections.abc import Iterator

import pytest
from planner_common.settings import Settings, get_settings
from planner_local.servers import Valkey
from planner_worker.app import app
from planner_worker.database import engine
from sqlalchemy import Connection

from common.tests.domain import Domain


@pytest.fixture
def domain(connection: Connection) -> Domain:
    return Domain(connection)


@pytest.fixture(scope="module")
def environment(worker_database: str, worker_valkey: Valkey) -> Iterator[dict[str, str]]:
    """What a process of the worker is told. This process is told it too, while a test of this module runs."""
    told = {
        "DATABASE_URL": worker_database,
        "REDIS_URL": worker_valkey.url(),
        "ENCRYPTION_KEYS": "another key for tests, long enough as well",
        "LOG_FORMAT": "json",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        # It may be configured already: pytest looks into modules while it collects, and a task is made when looked at.
        app.conf.update(broker_url=told["REDIS_URL"], result_backend=told["REDIS_URL"])
        yield told
        engine().dispose()
        engine.cache_clear()
    get_settings.cache_clear()


@pytest.fixture
def settings(settings: Settings, environment: dict[str, str]) -> Settings:
    """The suite's settings, which Celery's application has too."""
    return settings
