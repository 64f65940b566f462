import http.server
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from planner_common import healthcheck


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_only_200_is_healthy(url: str) -> None:
    assert healthcheck.check([f"{url}/readyz"]) is None
    assert "503" in str(healthcheck.check([f"{url}/other"]))


def test_nobody_there_is_unhealthy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as silent:  # accepts, never answers
        monkeypatch.setattr(healthcheck, "TIMEOUT", 0.05)
        address = f"http://127.0.0.1:{silent.server_address[1]}/readyz"
        assert "timed out" in str(healthcheck.check([address]))
    assert "refused" in str(healthcheck.check([address]))


def test_a_heartbeat_must_be_young(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    assert "No such file" in str(healthcheck.check([str(heartbeat), "30"]))
    heartbeat.touch()
    assert healthcheck.check([str(heartbeat), "30"]) is None
    long_ago = heartbeat.stat().st_mtime - 31
    os.utime(heartbeat, (long_ago, long_ago))
    assert "last touched 31 s ago" in str(healthcheck.check([str(heartbeat), "30"]))


@pytest.mark.parametrize(("arguments", "status"), [(["{url}/readyz"], 0), (["{url}/"], 1), (["heartbeat"], 2), ([], 2)])
def test_exit_status(url: str, arguments: list[str], status: int) -> None:
    command = [sys.executable, "-m", "planner_common.healthcheck", *(a.format(url=url) for a in arguments)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == status
