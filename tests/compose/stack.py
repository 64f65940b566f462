"""A running Compose stack, as the tests ask it: by the docker command, as an operator would."""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from tests import system

ROUND = ("secrets", "migrate")
"""Services that do their work and end."""
LASTING = ("api", "dispatcher", "worker", "flower", "exporter", "canary", "postgres", "redis")

# The main process is the child of docker-init. Killed from within, since `docker kill` counts as stopping by hand.
KILL_MAIN = "kill -9 $(grep -l '^PPid:.1$' /proc/[0-9]*/status | cut -d/ -f3)"


class Failed(Exception):
    """A command failed; the text is what it said."""


def run(*command: str, timeout: float = 120) -> str:
    """Run it and return its standard output. Raises Failed with all it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def compose(*arguments: str, timeout: float = 120) -> str:
    """`docker compose …`, for the project that COMPOSE_PROJECT_NAME names."""
    return run("docker", "compose", *arguments, timeout=timeout)


def execute(service: str, *command: str) -> str:
    """Run a command in the service's first container."""
    return compose("exec", "--no-TTY", service, *command)


def python(service: str, code: str) -> str:
    return execute(service, "python", "-c", code)


def containers(service: str | None = None) -> list[dict[str, Any]]:
    """What `docker inspect` says of the containers, of one service or of all, the ended ones too."""
    labels = [
        f"project={os.environ['COMPOSE_PROJECT_NAME']}",
        "oneoff=False",
        *([f"service={service}"] if service else []),
    ]
    filters = [argument for label in labels for argument in ("--filter", f"label=com.docker.compose.{label}")]
    ids = run("docker", "ps", "--all", "--quiet", *filters).split()
    try:
        inspected: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids)) if ids else []
    except Failed as error:
        if "No such object" not in str(error):
            raise
        return containers(service)  # one was replaced between the two commands
    return inspected


def service_of(container: dict[str, Any]) -> str:
    name: str = container["Config"]["Labels"]["com.docker.compose.service"]
    return name


def is_healthy(service: str) -> bool:
    found = containers(service)
    return bool(found) and all(
        one["State"]["Status"] == "running" and one["State"]["Health"]["Status"] == "healthy" for one in found
    )


def restarts(service: str) -> int:
    return sum(one["RestartCount"] for one in containers(service))


def kill_main_process(service: str) -> None:
    """`kill -9` what the container runs. Its shell may go with it before it can say so."""
    try:
        execute(service, "sh", "-c", KILL_MAIN)
    except Failed as error:
        if "exit 137" not in str(error):
            raise


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Ask again and again until it holds, at an engine's pace. Raises TimeoutError with `what`."""
    system.until(condition, what, seconds, every=0.2)
