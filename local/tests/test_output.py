import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from planner_local import output
from planner_local.output import Patient, prefixing

FLOOD = """
import sys
from planner_local.output import Patient, prefixing
stream = Patient(sys.stdout)
write = prefixing(["api"], stream, colour=False)
"""


def test_prefixes_are_coloured_for_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Patient(sys.stdout)
    prefixing(["api", "worker"], stream, colour=False)("api", "hello")
    prefixing(["api", "worker"], stream, colour=True)("worker", "\033[1mbold")
    stream.finish()
    assert capsys.readouterr().out == "api    │ hello\n\033[33mworker │\033[0m \033[1mbold\033[0m\n"


def test_a_reader_who_pauses_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], Any]], Any]
) -> None:
    monkeypatch.setattr(output, "MOST_PIECES", 100)
    reader, writer = os.pipe()
    with ThreadPoolExecutor() as threads, os.fdopen(reader) as reading:
        with os.fdopen(writer, "w") as target:
            stream = Patient(target)
            for number in range(1000):
                stream.write(f"{number} {'x' * 10_000}\n")
            everything = threads.submit(reading.read)
            until(stream.waiting.empty)
            stream.write("again\n")
            stream.finish()
        lines = everything.result().splitlines()
    # How many at which moment is a matter of the two threads' turns; that none is lost without a word is not.
    notes = [line for line in lines if line.endswith(" lines dropped, for nobody read them")]
    dropped = sum(int(line.split()[1]) for line in notes)
    assert dropped > 500
    assert len(lines) - len(notes) + dropped == 1001
    assert lines[0].startswith("0 ")
    assert lines[-1] == "again"


def test_a_reader_that_goes_away_stops_us() -> None:
    script = FLOOD + "import time\nwhile True:\n    write('api', 'x' * 1000)\n    time.sleep(0.001)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (-signal.SIGTERM, b"")
