"""HTTP servers that are measured: one uvicorn process each, as Planner's API is one."""

from contextlib import ExitStack

from planner_local.servers import free_port

from bench.stack import Stack, processes
from tests.system import answers, until

UVICORN = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "info"]


def serve(exits: ExitStack, system: Stack, application: str, **settings: str) -> int:
    """Run an application of a peer (`module:name`), and return its port."""
    port = free_port()
    environment = {**system.for_peers(), **settings}
    log = system.folder / f"{application.partition(':')[0]}.log"
    exits.enter_context(processes([["uvicorn", application, "--port", str(port), *UVICORN]], environment, log))
    until(lambda: log.exists() and "startup complete" in log.read_text(), f"{application} is ready")
    return port


def another_api(exits: ExitStack, system: Stack, **settings: str) -> int:
    """Run Planner's API once more, with other settings, and return its port."""
    port = free_port()
    environment = {**system.environment(), "API_PORT": str(port), "API_METRICS_PORT": str(free_port()), **settings}
    exits.enter_context(processes([["planner_api"]], environment, system.folder / "another-api.log"))
    until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the other API is ready")
    return port
