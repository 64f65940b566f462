"""Whole runs against a system that is broken on purpose: the checker finds what is wrong with each."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.faults.run import Options, run
from tests.faults.sabotage import SABOTAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("PLANNER_URL" in os.environ, reason="the processes of that system are not ours to kill"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_found(name: str) -> None:
    sabotage = SABOTAGES[name]
    with tempfile.TemporaryDirectory(prefix="planner-sabotage-") as folder:
        options = Options(
            seed=1,
            seconds=15,
            rate=30,
            folder=Path(folder),
            crowds=False,
            drain_seconds=15,
            planned=sabotage.planned(),
            commands=sabotage.commands(name),
        )
        found = run(options, sabotage.prepare)
    assert not found["ok"]
    assert sabotage.seen_as & found["violations"].keys(), found["violations"]
