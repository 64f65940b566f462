"""`python -m planner_local`: the whole stack on this machine, without Docker."""

import signal
import sys

# Before the imports, which take a second: Ctrl-C ends us then without a traceback, and never as an exception in the
# middle of the import system, which could swallow it and keep a lock for ever.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from planner_local.cli import app, run_up  # noqa: E402  # see above

if __name__ == "__main__":
    if sys.argv[1:] == ["up"]:  # which stays: Typer would import Pydantic to find that it has no arguments, 7 MB
        sys.exit(run_up())
    app(prog_name="planner_local")
