"""`docker compose watch`: a change of the source is running a few seconds later."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.stack import compose, containers, python, run, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources, so that the change is not made in the developer's."""
    for name in run("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def watching(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack of its own, and images, of a checkout that is being watched."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"{os.environ['COMPOSE_PROJECT_NAME']}-watch")
    monkeypatch.setenv("PLANNER_TAG", "watch")
    monkeypatch.setenv("API_PORT", "0")
    monkeypatch.setenv("FLOWER_PORT", "0")
    monkeypatch.chdir(checkout)
    log = checkout / "watch.log"
    with log.open("w") as output:
        process = subprocess.Popen(["docker", "compose", "watch", "exporter"], stdout=output, stderr=output)
    try:
        until(lambda: "Watch enabled" in log.read_text(), "the watch has begun", 120)
        yield checkout
    except TimeoutError as error:
        pytest.fail(f"{error}\n{log.read_text()}")
    finally:
        process.terminate()
        process.wait(30)
        compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        run("sh", "-c", "docker images --quiet --filter reference='planner-*:watch' | sort -u | xargs -r docker rmi -f")


def test_a_change_is_running_soon(watching: Path) -> None:
    source = watching / "monitoring/exporter/planner_exporter/measure.py"
    (before,) = containers("exporter")
    source.write_text(source.read_text() + "\nCHANGED = True\n")

    def replaced() -> bool:
        found = containers("exporter")
        return len(found) == 1 and found[0]["Id"] != before["Id"] and found[0]["State"]["Health"]["Status"] == "healthy"

    until(replaced, "the changed service is healthy", 90)
    assert python("exporter", "from planner_exporter import measure; print(measure.CHANGED)") == "True\n"
