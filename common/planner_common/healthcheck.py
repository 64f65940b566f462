"""A container's health, asked every few seconds, so it costs little: sockets and files, no library that loads slowly.

    python -m planner_common.healthcheck http://127.0.0.1:8000/readyz    # answers 200 within 3 seconds?
    python -m planner_common.healthcheck /tmp/heartbeat 30               # touched within the last 30 seconds?

Exits 0 or 1, and 2 if it was asked wrongly.
"""

import os
import sys
import time

TIMEOUT = 3.0


def answers(url: str) -> str | None:
    """What is wrong with the answer to a plain `http://host:port/path`; None if it is 200."""
    import socket  # noqa: PLC0415  # of no use for a file, and half of what looking at one would cost

    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port or 80)), TIMEOUT) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            status = connection.makefile("rb").readline(1000).decode(errors="replace").strip()
    except OSError as error:
        return f"{url}: {error}"
    return None if status.split(" ")[1:2] == ["200"] else f"{url}: {status or 'no answer'}"


def beats(path: str, seconds: float) -> str | None:
    """What is wrong with a heartbeat file; None if it is younger than that."""
    try:
        age = time.time() - os.stat(path).st_mtime  # noqa: PTH116  # importing pathlib takes longer than all the rest
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if age < seconds else f"{path}: last touched {age:.0f} s ago"


def check(arguments: list[str]) -> str | None:
    match arguments:
        case [url] if url.startswith("http://"):
            return answers(url)
        case [path, seconds] if seconds.isdecimal():
            return beats(path, float(seconds))
        case _:
            sys.stderr.write(__doc__ or "")
            sys.exit(2)


if __name__ == "__main__":
    fault = check(sys.argv[1:])
    if fault:
        sys.stderr.write(fault + "\n")
    sys.exit(1 if fault else 0)
