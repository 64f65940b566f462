"""`python -m bench.load PLAN`: sends prepared HTTP requests over as many connections as told, and times the answers.

A process of its own, that does as little as can be: what it costs is the same for all that are measured. PLAN is a file
of JSON: {"port", "connections", "requests": [text, …], "total", "status"}. It prints {"began", "seconds",
"latencies"}, and ends in an error at an answer with another status.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.system import BIN

HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last has come."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # for mypy
        self.transport = transport
        self._next()

    def _next(self) -> None:
        request = self.load.take()
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(HEAD_END)
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self.buffer = b""
        self.load.note(int(head[9:12]), time.perf_counter() - self.sent, body)
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        self.load.ended()


class Load:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.requests = cycle([request.encode() for request in plan["requests"]])
        self.left = plan["total"]
        self.open = plan["connections"]
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def take(self) -> bytes | None:
        if not self.left:
            return None
        self.left -= 1
        return next(self.requests)

    def note(self, status: int, seconds: float, body: bytes) -> None:
        self.latencies.append(seconds)
        if status != self.plan["status"] and not self.done.done():
            self.done.set_exception(RuntimeError(f"answered {status}: {body[:500]!r}"))

    def ended(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


async def send(plan: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    load = Load(plan)
    began, started = time.time(), time.perf_counter()
    for _ in range(plan["connections"]):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", plan["port"])
    await load.done
    if len(load.latencies) != plan["total"]:
        raise RuntimeError(f"{plan['total']} requests were sent and {len(load.latencies)} answered")
    return {"began": began, "seconds": time.perf_counter() - started, "latencies": load.latencies}


@dataclass(frozen=True)
class Answered:
    """What came of a load."""

    began: float
    """When the first request was sent, by the clock: the process for it takes its time to start."""
    per_second: float
    p99: float
    """Seconds."""


@dataclass
class Requests:
    """Requests for one server, sent again and again: `total` over so many connections, each to be answered `status`."""

    folder: Path
    port: int
    requests: list[str]
    total: int
    connections: int = 16
    status: int = 200

    def send(self) -> Answered:
        """Send them from a process of its own. Raises subprocess.CalledProcessError if one is answered otherwise."""
        names = ("port", "requests", "total", "connections", "status")
        file = self.folder / "load.json"
        file.write_text(json.dumps({name: getattr(self, name) for name in names}))
        done = subprocess.run([BIN / "python", "-m", "bench.load", file], check=True, stdout=subprocess.PIPE, text=True)
        said = json.loads(done.stdout)
        return Answered(said["began"], self.total / said["seconds"], quantiles(said["latencies"], n=100)[98])


def request(method: str, path: str, body: object = None, **headers: str) -> str:
    """The text of an HTTP request with a JSON body."""
    content = "" if body is None else json.dumps(body)
    if content:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(content.encode()))}
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: planner",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines) + "\r\n\r\n" + content


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(send(json.loads(Path(sys.argv[1]).read_text())))))
