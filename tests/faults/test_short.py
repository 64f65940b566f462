"""The fault suite in short, as CI runs it; `make faults` is the long form."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SECONDS = 40
LONGEST = 400

pytestmark = [
    pytest.mark.skipif("PLANNER_URL" in os.environ, reason="the processes of that system are not ours to kill"),
    pytest.mark.timeout(LONGEST + 20),
]


def test_whatever_fails_everyone_is_told_once() -> None:
    with tempfile.TemporaryDirectory(prefix="planner-faults-") as folder:
        command = [sys.executable, "-m", "tests.faults.run", "--seed", "1", "--seconds", str(SECONDS), "--rate", "25"]
        command += ["--folder", folder, "--no-crowds"]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            cwd=Path(__file__).parents[2],
        )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
