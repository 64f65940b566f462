"""The canary as a process, where there is no API."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from planner_local.servers import free_port

from tests.system import until

COMMAND = [sys.executable, "-m", "planner_exporter.canary"]
KEY = "a key of the canary, which is long enough"


@contextmanager
def canary(port: int, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"CANARY_KEY": KEY, "CANARY_PORT": str(port), "LOG_FORMAT": "json", **settings}
    with subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def scrape(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def test_it_says_once_that_nobody_answers(tmp_path: Path) -> None:
    port, nobody, heartbeat = free_port(), free_port(), tmp_path / "heartbeat"
    settings = {"CANARY_SECONDS": "0.05", "API_URL": f"http://127.0.0.1:{nobody}", "HEARTBEAT_FILE": str(heartbeat)}
    with canary(port, **settings) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        tries = re.compile(r'planner_canary_runs_total{outcome="unreachable"} ([2-9]|\d\d)')
        until(lambda: tries.search(scrape(port)), "it tries again and again")
        assert heartbeat.exists()
        shown = scrape(port)
        assert 'planner_canary_runs_total{outcome="told"} 0.0' in shown
        assert "planner_canary_last_latency_seconds NaN" in shown
        assert "planner_build_info{python=" in shown
        assert "planner_http_" not in shown  # which are not the canary's
        process.terminate()
        assert process.wait(10) == 0
        [line] = process.stdout.read().splitlines()
        assert json.loads(line)["outcome"] == "unreachable"


def test_at_rest_it_shows_no_figures() -> None:
    port = free_port()
    with canary(port, CANARY_SECONDS="0") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        shown = scrape(port)
        assert "planner_build_info" in shown
        assert "planner_canary_" not in shown
        process.terminate()
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_named() -> None:
    port = free_port()
    with canary(port, CANARY_SECONDS="0") as first:
        assert first.stdout is not None
        first.stdout.readline()
        with canary(port) as second:
            assert second.wait(30) == 1
            assert second.stderr is not None
            assert f"CANARY_PORT {port}: Address already in use" in second.stderr.read()


def test_without_a_key_it_does_not_start() -> None:
    done = subprocess.run(COMMAND, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "CANARY_KEY" in done.stderr
