"""Schedules: drawn by a seed, again the same; and what the campaign makes of the results."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.campaign import seeds
from tests.faults.faults import FAULTS, SPECS
from tests.faults.ledger import Ledger, read
from tests.faults.schedule import GAPS, schedule
from tests.faults.summary import markdown


def test_a_seed_makes_the_same_schedule_again_and_another_one_another() -> None:
    first, again, other = (list(schedule(seed, 300, SPECS)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("seed", range(1, 21))
def test_a_schedule_is_full_of_faults_of_all_kinds(seed: int) -> None:
    planned = list(schedule(seed, 300, SPECS))
    kinds = Counter(one.kind for one in planned)
    assert len(planned) >= 60
    assert kinds.keys() == FAULTS.keys() == SPECS.keys()
    assert max(kinds.values()) - min(kinds.values()) <= 4
    assert all(one.until <= 300 for one in planned)
    assert all(later.at - one.at >= GAPS[0] for one, later in pairwise(planned))
    for number, one in enumerate(planned):
        for other in planned[:number]:
            assert other.until <= one.at or not SPECS[one.kind].strikes & SPECS[other.kind].strikes


def test_seeds_are_written_as_ranges() -> None:
    assert seeds("7") == [7]
    assert seeds("1-3,9") == [1, 2, 3, 9]


def test_a_ledger_is_read_up_to_the_line_that_was_cut_off_and_is_never_begun_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.write("asked", id="w1")
    with path.open("a") as file:
        file.write('{"what": "acknow')
    assert [line["id"] for line in read(path)] == ["w1"]
    with pytest.raises(FileExistsError):
        Ledger(path)


def test_the_table_has_a_run_that_did_not_end() -> None:
    lines = markdown([{"seed": 3, "seconds": 300, "ok": False, "unfinished": True}]).splitlines()
    assert lines[2].startswith("| 3 | did not end |")
