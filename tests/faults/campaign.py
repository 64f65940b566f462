"""Many runs, one seed after the other, and what came of all of them as a table in Markdown.

    python -m tests.faults.campaign --seeds 1-20 --seconds 300

A run that fails, or does not even end, keeps its folder with ledgers and logs; the campaign goes on.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.summary import markdown

SLACK_SECONDS = 600
"""What a run may take beyond its faults before it is ended."""


def seeds(value: str) -> list[int]:
    """`1-20`, `7`, `1,5,9-11`."""
    found: list[int] = []
    for part in value.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def one(seed: int, seconds: float, rate: float, folder: Path) -> dict[str, Any]:
    """Run a seed in a process of its own. Its result; where there is none, that it was not ok."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.faults.run", "--seed", str(seed), "--seconds", str(seconds)]
    command += ["--rate", str(rate), "--folder", str(folder)]
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            process.wait(seconds + SLACK_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()  # which ends all that it has started
            process.wait()
    try:
        found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        return {"seed": seed, "seconds": seconds, "ok": False, "unfinished": True}
    if found["ok"]:
        shutil.rmtree(folder / "system")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seeds, default=[1], help="such as 1-20 or 1,5,7")
    parser.add_argument("--seconds", type=float, default=300, help="of each run's faults")
    parser.add_argument("--rate", type=float, default=70, help="writes per second that the clients aim at")
    parser.add_argument("--folder", type=Path, help="where the runs' folders go (default: a new one)")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="planner-campaign-"))).resolve()
    results = []
    for seed in given.seeds:
        results.append(one(seed, given.seconds, given.rate, folder / f"seed-{seed}"))
        well = "all is well" if results[-1]["ok"] else f"WRONG, see {folder}/seed-{seed}/output.txt"
        sys.stderr.write(f"seed {seed}: {well}\n")
        (folder / "campaign.md").write_text(markdown(results))
    sys.stdout.write(markdown(results))
    sys.stderr.write(f"{folder}/campaign.md\n")
    return 0 if all(result["ok"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
