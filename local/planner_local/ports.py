"""Which ports the stack listens on: what was asked for, or the usual ones, or the next free ones."""

import errno
import socket
from collections.abc import Mapping

from planner_local.supervisor import StartError

USUAL = {
    "API_PORT": 8000,
    "FLOWER_PORT": 5555,
    "EXPORTER_PORT": 9808,
    "CANARY_PORT": 9809,
    "API_METRICS_PORT": 9101,
    "WORKER_METRICS_PORT": 9102,
    "DISPATCHER_METRICS_PORT": 9103,
    "FLOWER_METRICS_PORT": 9104,
    "POSTGRES_PORT": 55432,
    "VALKEY_PORT": 56379,
    "MAIL_PORT": 51025,
}
HIGHEST = 65535


def problem(port: int, host: str = "127.0.0.1") -> str | None:
    """Why a server could not listen there; None if it could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((host, port))
        except OSError as error:
            return "is taken" if error.errno == errno.EADDRINUSE else f"can't be used: {error.strerror}"
    return None


def choose(environment: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """A free port for each name, and what to tell about those that are not the usual ones.

    A port that the environment asks for is used or refused (StartError), never replaced.
    """
    host = environment.get("API_HOST") or "127.0.0.1"
    chosen: dict[str, int] = {}
    for name in USUAL.keys() & environment.keys():
        value = environment[name]
        if not (value.isdecimal() and 0 < int(value) <= HIGHEST):
            raise StartError(f"{name}={value} is not a port: give a number from 1 to {HIGHEST}.")
        if int(value) in chosen.values():
            raise StartError(f"{name}={value} is given to something else as well.")
        if fault := problem(int(value), host if name == "API_PORT" else "127.0.0.1"):
            raise StartError(f"{name}={value} {fault}. Choose another, or leave it out to get one that is free.")
        chosen[name] = int(value)
    told = []
    for name in USUAL.keys() - chosen.keys():
        port = USUAL[name]
        others = set(chosen.values()) | set(USUAL.values()) - {port}
        while port in others or problem(port, host if name == "API_PORT" else "127.0.0.1"):
            port += 1
        if port != USUAL[name]:
            told.append(f"port {USUAL[name]} is taken: {name} is {port}")
        chosen[name] = port
    return {name: chosen[name] for name in USUAL}, sorted(told)
