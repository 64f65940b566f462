"""What all suites share: a real PostgreSQL (one for the run, a database per worker cloned from a migrated template), a
real Valkey per worker, and settings that point at them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from planner_common import schema
from planner_common.database import make_engine
from planner_common.models import metadata
from planner_common.settings import Settings
from planner_local.servers import Postgres, Valkey, free_port
from redis import Redis
from sqlalchemy import Connection, Engine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SERVER = "PLANNER_TEST_POSTGRES"  # the controller's server, for its workers: a URL without a database
TEMPLATE = "planner_template"
SIGNING_KEY = "a key for tests, which is long enough"
ENCRYPTION_KEYS = "another key for tests, long enough as well"


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or SERVER in os.environ:
        return
    server = Postgres(Path(tempfile.mkdtemp(prefix="planner-test-")) / "postgres", free_port(), "test", durable=False)
    server.start()
    config.add_cleanup(server.stop)
    os.environ[SERVER] = server.url("")
    config.add_cleanup(lambda: os.environ.pop(SERVER))
    _admin(f"CREATE DATABASE {TEMPLATE}")
    engine = make_engine(Settings(database_url=server.url(TEMPLATE)), "tests")
    with engine.begin() as connection:
        schema.migrate(connection)
    engine.dispose()


class Scheduling(LoadScopeScheduling):
    """Tests go to whichever worker is free, but those of the whole system all to one, so that only one of it runs."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("worker/tests/test_processes.py"):
            return "worker"  # one worker and one Flower for all of them
        return "system" if nodeid.startswith(("tests/acceptance/", "tests/faults/")) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def _admin(statement: str) -> None:
    with psycopg.connect(os.environ[SERVER] + "postgres", autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def worker_database(worker_id: str) -> Iterator[str]:
    """The URL of this worker's own migrated database."""
    name = f"planner_{worker_id}"
    _admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield os.environ[SERVER] + name
    _admin(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def worker_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey") / "data", free_port(), "test") as server:
        yield server


@pytest.fixture(scope="session")
def worker_engine(worker_database: str) -> Iterator[Engine]:
    engine = make_engine(Settings(database_url=worker_database), "tests", pool_size=5)
    yield engine
    engine.dispose()


@pytest.fixture
def database(worker_database: str, worker_engine: Engine) -> str:
    """The URL of a database that is migrated and empty."""
    with worker_engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    return worker_database


@pytest.fixture
def connection(database: str, worker_engine: Engine) -> Iterator[Connection]:
    """An autocommitting connection to that database: what a test does with it is visible to everyone at once."""
    with worker_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@pytest.fixture
def valkey(worker_valkey: Valkey) -> Valkey:
    """A Valkey that runs and is empty. A test that stops or freezes it puts it right again."""
    with Redis.from_url(worker_valkey.url()) as client:
        client.flushall()
    return worker_valkey


@pytest.fixture
def settings(database: str, valkey: Valkey) -> Settings:
    return Settings(
        database_url=database, redis_url=valkey.url(), signing_key=SIGNING_KEY, encryption_keys=ENCRYPTION_KEYS
    )
