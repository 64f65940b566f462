"""The whole stack as a newcomer starts it, with what goes wrong around it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import Result
from planner_local import cli, ports
from planner_local.state import Addresses, State, alone, running
from typer.testing import CliRunner

Until = Callable[[Callable[[], Any]], Any]
Marked = Callable[[], list[psutil.Process]]


@pytest.fixture
def planner_local(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    # Below the ports that the kernel gives to outgoing connections: one of those could come in between.
    free = filter(lambda port: ports.problem(port) is None, random.sample(range(20_000, 32_000), 100))
    environment = {**os.environ, **{name: str(next(free)) for name in ports.USUAL}, "NO_COLOR": "1"}

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "planner_local", *arguments],
            cwd=tmp_path,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield start
    for process in started:  # those that a failed test left
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=100)


def said(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=100)
    return output


def command(folder: Path, *arguments: str) -> Result:
    """A command that starts nothing, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "FOLDER", folder / ".local")
        patch.chdir(folder)
        return CliRunner().invoke(cli.app, arguments)


def commands(ancestor: int) -> list[str]:
    """The command lines of all that descends from a process."""
    found = []
    for process in psutil.Process(ancestor).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # or a zombie
            found.append(" ".join(process.cmdline()))
    return found


def canary_arrives(address: str) -> bool:
    with suppress(httpx.HTTPError):
        return bool(re.search(r'planner_canary_runs_total{outcome="told"} [1-9]', httpx.get(address).text))
    return False


@pytest.mark.timeout(300)
def test_a_stack_from_start_to_end(
    planner_local: Callable[..., subprocess.Popen[str]], tmp_path: Path, until: Until, marked: Marked
) -> None:
    up = planner_local("up", CANARY_SECONDS="1")  # whose output nobody reads until it ends
    state = tmp_path / ".local" / "state.json"
    until(lambda: up.poll() is not None or (state.exists() and json.loads(state.read_text())["ready"]))
    assert up.poll() is None, said(up)
    content = json.loads(state.read_text())
    api = content["addresses"]["api"]

    def is_ready() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{api}/readyz").status_code == 200
        return False

    until(is_ready)

    second = command(tmp_path, "up")
    assert "runs already" in second.output
    assert api in second.output
    assert second.exit_code == 0

    clean = command(tmp_path, "clean")
    assert "stop it first" in clean.output
    assert clean.exit_code == 1

    query = planner_local("run", "psql", "-Atc", "SELECT count(*) FROM accounts")
    assert (said(query), query.returncode) == ("2\n", 0)  # the canary's
    until(lambda: canary_arrives(content["addresses"]["canary"]))

    rotate = planner_local("run", "planner", "keys", "rotate")
    assert "channels: 0 sealed with the first key" in said(rotate)
    shown = planner_local("run", "planner", "dead", "--help")
    assert "planner dead [OPTIONS] COMMAND" in said(shown)

    demo = planner_local("demo")
    assert "12 events imported" in (output := said(demo))
    assert demo.returncode == 0, output
    of_its_people = re.compile(r"(ann|ben|cleo|dana|eli)\.[0-9a-f]{8}@example\.org\.eml$")
    mails = [path for path in (tmp_path / ".local" / "mail").iterdir() if of_its_people.search(path.name)]
    assert f"Mails  {len(mails)} sent" in output
    assert f"<{api}/unsubscribe/" in message_from_bytes(mails[0].read_bytes())["List-Unsubscribe"]

    # Everything dies at once; everything comes back, with its data.
    before = {name: process["pid"] for name, process in content["processes"].items()}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_new() -> bool:
        now = {name: process["pid"] for name, process in json.loads(state.read_text())["processes"].items()}
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    until(all_new)

    until(is_ready)
    audit = planner_local("run", "planner", "audit", "--json", "--wait", "60")
    assert json.loads(output := said(audit))["events"] > 12  # a canary's as well
    assert audit.returncode == 0, output
    until(lambda: canary_arrives(content["addresses"]["canary"]))

    up.send_signal(signal.SIGTERM)
    output = said(up)
    assert up.returncode == 0, output
    assert marked() == []
    assert not state.exists()
    assert running(tmp_path / ".local") is None

    clean = command(tmp_path, "clean")
    assert (clean.output, clean.exit_code) == ("", 0)
    assert not (tmp_path / ".local").exists()


@pytest.mark.parametrize("moment", ["initdb", "migrate"])
def test_ctrl_c_during_the_start(
    planner_local: Callable[..., subprocess.Popen[str]], tmp_path: Path, until: Until, marked: Marked, moment: str
) -> None:
    up = planner_local("up")
    until(lambda: up.poll() is not None or any(moment in found for found in commands(up.pid)))
    assert up.poll() is None, said(up)
    for process in (up, *psutil.Process(up.pid).children()):  # the guard and the supervisor, as the terminal does it
        process.send_signal(signal.SIGINT)
    output = said(up)
    assert up.returncode in (0, 128 + signal.SIGINT), output
    assert "Traceback" not in output
    assert marked() == []


def test_a_port_that_is_taken(planner_local: Callable[..., subprocess.Popen[str]], marked: Marked) -> None:
    up = planner_local("up", API_PORT="80000")
    assert said(up) == "API_PORT=80000 is not a port: give a number from 1 to 65535.\n"
    assert up.returncode == 1
    assert marked() == []


@pytest.mark.parametrize(("path", "reason"), [("nowhere.ics", "No such file or directory"), (".", "Is a directory")])
def test_a_calendar_that_can_not_be_read(tmp_path: Path, path: str, reason: str) -> None:
    demo = command(tmp_path, "demo", path)
    assert (demo.output, demo.exit_code) == (f"CALENDAR={path}: {reason}\n", 2)


def test_nothing_runs(tmp_path: Path) -> None:
    run = command(tmp_path, "run", "planner", "audit")
    assert (run.output, run.exit_code) == ("Nothing runs here: `make up` first.\n", 1)
    assert not (tmp_path / ".local").exists()


def test_what_an_earlier_run_left_is_ended(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "1000"])
    stranger = subprocess.Popen(["sleep", "1000"])
    state = State(tmp_path, Addresses(*["x"] * len(fields(Addresses))))
    state.save({"api": left.pid, "worker": stranger.pid, "flower": None})
    content = json.loads((tmp_path / "state.json").read_text())
    content["processes"]["worker"]["started"] -= 1  # another process had this number
    (tmp_path / "state.json").write_text(json.dumps(content))
    told: list[str] = []
    state.end_leftovers(told.append)
    assert told == [f"an earlier run left api ({left.pid}) behind: it is ended"]
    assert left.poll() is not None
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    assert not (tmp_path / "state.json").exists()


def test_whoever_holds_the_folder_is_noticed(tmp_path: Path) -> None:
    state = State(tmp_path, Addresses(*["x"] * len(fields(Addresses))), ready=True)
    with alone(tmp_path):
        state.save({})
        assert running(tmp_path) == (state.addresses, True)
    assert running(tmp_path) is None
