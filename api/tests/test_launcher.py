"""`python -m planner_api`: a real server, in one process and in two."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest
from planner_common.settings import Settings
from planner_local.servers import free_port
from sqlalchemy import Connection, text


class Api:
    """A server that was started, and its address."""

    def __init__(self, settings: Settings, **environment: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        signing_key = settings.signing_key
        assert signing_key is not None
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "SIGNING_KEY": signing_key.get_secret_value(),
            "ENCRYPTION_KEYS": "another key for tests, long enough as well",
            "API_PORT": str(self.port),
            "API_METRICS_PORT": str(self.metrics_port),
            "LOG_FORMAT": "json",
        } | environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "planner_api"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that `kill` ends its children too, also those it starts at that moment
        )
        # A connection for each request, so that every process gets some.
        transport = httpx.HTTPTransport(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.http = httpx.Client(transport=transport)

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not {what}: {self.kill()}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            return self.http.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.http.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def kill(self) -> str:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.communicate()[0]

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20)[0]


@contextmanager
def started(settings: Settings, **environment: str) -> Iterator[Api]:
    api = Api(settings, **environment)
    try:
        api.wait_until(api.is_ready, "ready")
        yield api
    finally:
        api.kill()
        api.http.close()


LIVEZ = 'planner_http_requests_total{method="GET",route="/livez",status="200"}'


def test_one_process_serves_counts_and_stops_in_order(settings: Settings) -> None:
    with started(settings) as api:
        for _ in range(20):
            assert api.http.get(f"{api.url}/livez").status_code == 200
        assert api.metric(LIVEZ) == 20
        output = api.stop()
        assert api.process.returncode == 0
        lines = [json.loads(line) for line in output.splitlines()]
        assert sum(line["event"] == "request" for line in lines) > 20
        assert {line["service"] for line in lines} == {"api"}


def test_several_processes_are_one_service(settings: Settings, connection: Connection) -> None:
    """Their metrics are added up, and one that is killed is replaced; its gauges go, what it counted stays."""
    with started(settings, API_PROCESSES="2") as api:
        children = [
            child
            for child in psutil.Process(api.process.pid).children()
            if "multiprocessing.spawn" in " ".join(child.cmdline())
        ]
        assert len(children) == 2
        said = text("SELECT id FROM processes WHERE service = 'api'")
        names = {f"api@{socket.gethostname()}:{child.pid}" for child in children}
        api.wait_until(lambda: set(connection.execute(said).scalars()) == names, "there by its own word")
        for _ in range(20):
            assert api.http.get(f"{api.url}/livez").status_code == 200
        assert api.metric(LIVEZ) == 20
        for child in children:
            child.kill()
        api.wait_until(lambda: not any(child.is_running() for child in children), "without the killed ones")
        api.wait_until(api.is_ready, "ready again")
        assert api.metric(LIVEZ) == 20
        api.stop()
        assert api.process.returncode == 0


@pytest.mark.parametrize("missing", ["SIGNING_KEY", "ENCRYPTION_KEYS"])
def test_without_a_key_it_says_so_and_exits(missing: str) -> None:
    environment = {"PATH": os.environ["PATH"], "API_PORT": str(free_port())}
    environment |= dict.fromkeys({"SIGNING_KEY", "ENCRYPTION_KEYS"} - {missing}, "a key that is long enough for all")
    done = subprocess.run(
        [sys.executable, "-m", "planner_api"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert f"setting {missing}: must be set" in done.stderr


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = Api(settings, API_METRICS_PORT=str(port))
        output = other.process.communicate(timeout=20)[0]
        assert other.process.returncode == 1
        assert f"API_METRICS_PORT {port}" in output
