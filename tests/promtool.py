"""Prometheus's own checks of what it is to read, where they are installed."""

import shutil
import subprocess

import pytest

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool (Debian has it in the package prometheus)"
)


def promtool(*arguments: object, given: str = "") -> str:
    """What `promtool ARGUMENTS` says of what it is given, if it finds a fault; else nothing."""
    assert PROMTOOL is not None
    command = [PROMTOOL, *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode or done.stderr else ""
