import subprocess
import sys


def test_logging_loads_no_rich_and_leaves_it_to_others() -> None:
    """In a process of its own, since pytest has everything loaded."""
    program = """
import sys
from planner_common import logging
assert "rich" not in sys.modules, "structlog imported it"
import rich.console
from planner_common.absent import without
with without("rich"):
    import rich.table
"""
    subprocess.run([sys.executable, "-c", program], check=True)
