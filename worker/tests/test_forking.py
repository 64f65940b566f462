import subprocess
import sys


def test_what_children_share_is_there_before_them_and_no_connection_is() -> None:
    """In a process of its own, as a worker's main process is one."""
    program = """
import gc
from planner_worker.database import engine
from planner_worker.forking import share
share()
assert gc.get_freeze_count() > 10_000
assert engine.cache_info().currsize == 1, "children would set it up"
assert engine().pool.checkedin() == engine().pool.checkedout() == 0, "children would share a connection"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
