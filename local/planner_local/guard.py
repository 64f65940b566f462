"""Leave no process behind, whoever dies first.

Three lines of defence, since SIGKILL can be answered only from outside. A guard, parent of the supervisor, adopts every
orphan below it (a «subreaper», prctl(2)) and ends them when the supervisor is gone. What the supervisor starts is tied
to it: the kernel sends it a signal when its parent dies, also if that is guard and supervisor at once. What all this
missed is in the state file, and the next start ends it. On systems other than Linux only the last one holds.
"""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import psutil

SUPPORTED = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# Runs between fork and the program. Becomes the other user first, since that clears the death signal; here and not by
# Popen's `user`, since that user may not be allowed to read this Python. The parent may have died before the call: then
# nobody would send the signal.
TIE = f"""
import ctypes, os, sys
parent, number, user = (int(argument) for argument in sys.argv[1:4])
if user >= 0:
    import pwd
    os.setgroups([])
    os.setgid(pwd.getpwuid(user).pw_gid)
    os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, number)
if os.getppid() == parent:
    os.execvp(sys.argv[4], sys.argv[4:])
"""


def tied(command: Sequence[str], death_signal: signal.Signals, user: int | None = None) -> list[str]:
    """The command that runs `command`, as `user`, and sends it `death_signal` when the thread that started it ends."""
    arguments = [os.getpid(), int(death_signal), -1 if user is None else user]
    return [sys.executable, "-I", "-S", "-c", TIE, *map(str, arguments), *command]


def end(processes: Iterable[psutil.Process], grace: float = 5) -> None:
    """End processes: by SIGTERM, and by SIGKILL those that are still there after `grace` seconds."""
    there = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in there:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, there = psutil.wait_procs(there, timeout=grace)


def end_group(leader: int) -> None:
    """Kill what is left of the process group that `leader` led."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def guarded(run: Callable[[], int], clean_up: Callable[[], None]) -> int:
    """The exit status of `run`, executed in a child process none of whose descendants outlives this call.

    `clean_up` is called here if the child did not end by itself, when its descendants are gone. To be called from a
    process that has no other child and no other thread.
    """
    if not SUPPORTED:
        return run()
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    gc.freeze()  # the two share their memory as long as no collector looks at it
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        return run() if os.getppid() == guard else 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child as well
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    status = _wait_for(child)
    end(psutil.Process().children(recursive=True))
    if os.WIFSIGNALED(status):
        clean_up()
        return 128 + os.WTERMSIG(status)
    return os.waitstatus_to_exitcode(status)


def _wait_for(child: int) -> int:
    """Reap whatever ends, until the child does. Returns its wait status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return status
