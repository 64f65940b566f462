"""`planner doctor`, as cron runs it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from planner_local.servers import free_port

from common.tests.test_cli import PLANNER
from tests.system import System, until


def doctor(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PLANNER, "doctor", *options], check=False, capture_output=True, text=True, env=os.environ | environment
    )


@pytest.fixture
def roomy(tmp_path: Path) -> dict[str, str]:
    """The environment where every disk is half empty: how full this machine's are is nothing to these tests."""
    folder = tmp_path / "python"
    folder.mkdir()
    half = "type(shutil.disk_usage('/'))(10**12, 5 * 10**11, 5 * 10**11)"
    (folder / "sitecustomize.py").write_text(
        f"import shutil\nhalf = {half}\nshutil.disk_usage = lambda _folder: half\n"
    )
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def nothing(roomy: dict[str, str]) -> dict[str, str]:
    """The environment where neither PostgreSQL nor Redis is."""
    return {
        **roomy,
        "DATABASE_URL": f"postgresql://planner:secret@127.0.0.1:{free_port()}/planner",
        "REDIS_URL": f"redis://:secret@127.0.0.1:{free_port()}/0",
    }


def test_it_says_what_is_wrong_and_what_to_do(nothing: dict[str, str]) -> None:
    done = doctor(nothing)
    assert done.returncode == 1
    assert not done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("failed   database ")
    assert "→ start PostgreSQL" in lines[1]
    assert "checks" in lines[2]
    assert "not looked at: PostgreSQL does not answer" in lines[2]
    assert any(line.startswith("ok       disk") for line in lines)
    assert "secret@" not in done.stdout


def test_quietly_it_says_only_that(nothing: dict[str, str]) -> None:
    done = doctor(nothing, "--quiet")
    assert done.returncode == 1
    assert "failed   database" in done.stdout
    assert "ok    " not in done.stdout


def test_a_setting_that_makes_no_sense_ends_it(nothing: dict[str, str]) -> None:
    done = doctor({**nothing, "API_PORT": "nonsense"})
    assert (done.returncode, done.stdout) == (78, "")


@pytest.mark.timeout(300)
def test_a_whole_system(tmp_path: Path, roomy: dict[str, str]) -> None:
    system = System(tmp_path)
    system.postgres.durable = True
    with system:
        environment = {
            **roomy,
            "DATABASE_URL": system.postgres.url(),
            "REDIS_URL": system.valkey.url(),
            "ENCRYPTION_KEYS": "another key for tests, long enough as well",
        }

        def not_ok(*options: str) -> dict[str, str]:
            return {
                finding["check"]: finding["status"]
                for finding in json.loads(doctor(environment, "--json", "--quiet", *options).stdout)
            }

        warnings = {"secrets given": "warning", "public URL": "warning"}
        until(lambda: not_ok() == warnings, "all is well but for two warnings")
        assert doctor(environment).returncode == 0
        assert doctor(environment, "--strict").returncode == 1
        for name in list(environment.keys() - roomy.keys()):
            path = tmp_path / name
            path.touch(0o600)
            path.write_text(environment.pop(name))
            environment[f"{name}_FILE"] = str(path)
        environment["PUBLIC_URL"] = "https://planner.example.org"
        done = doctor(environment, "--strict")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
        system.stop("worker")
        assert not_ok() == {"worker": "failed", "queues": "failed"}
        assert doctor(environment).returncode == 1
