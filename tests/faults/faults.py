"""The faults: what is done to which part, and how it is undone.

Each is a generator: up to its `yield`, which says what was struck, it does harm; after that it brings back what it
took, as a restart policy or an operator would.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from planner_local.servers import Server
from redis import Redis

from tests.faults.schedule import Spec
from tests.smtp import Rule, Sink
from tests.system import System

REFUSED = ("nobody-0@example.net", "nobody-1@example.net", "nobody-2@example.net")
"""Addresses that the sink never takes mail for."""
ALWAYS = Rule("RCPT", "550 5.1.1 there is nobody of that name", to=REFUSED)


class NothingThereError(Exception):
    """What a fault was to strike is not there: it does not take place."""


@dataclass
class Scene:
    """What there is to strike."""

    system: System
    sink: Sink
    orphans: list[psutil.Process] = field(default_factory=list)
    """Children whose main process was killed: they are expected to see it and end."""

    def one(self, service: str, pick: float) -> str:
        """One of those that run under this name."""
        names = sorted(name for name in self.system.processes if name.partition("-")[0] == service)
        return names[int(pick * len(names))]

    def redis(self) -> Redis:
        return Redis.from_url(self.system.valkey.url(), socket_timeout=5)

    def disturb_mail(self, *rules: Rule) -> None:
        self.sink.behave(ALWAYS, *rules)


Fault = Callable[[Scene, float], Iterator[str]]
FAULTS: dict[str, Fault] = {}
SPECS: dict[str, Spec] = {}


def fault(strikes: str, shortest: float, longest: float) -> Callable[[Fault], Fault]:
    """Registers a fault under its function's name. It lasts from `shortest` to `longest` seconds."""

    def register(function: Fault) -> Fault:
        kind = function.__name__.replace("_", "-")
        FAULTS[kind] = function
        SPECS[kind] = Spec(frozenset([strikes]), (shortest, longest))
        return function

    return register


def lose(server: Server, signals: Mapping[psutil.Process, signal.Signals]) -> None:
    """End a server by these signals, and forget its process."""
    assert server.process is not None
    for process, number in signals.items():
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    server.process.wait(30)
    psutil.wait_procs(list(signals), timeout=10)
    server.process = None


def family(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    main = psutil.Process(server.process.pid)
    return [main, *main.children(recursive=True)]


# ---- our own processes


@fault("api", 0.2, 3)
def kill_api(scene: Scene, pick: float) -> Iterator[str]:
    yield from killed(scene, [scene.one("api", pick)])


@fault("dispatcher", 0.2, 3)
def kill_dispatcher(scene: Scene, pick: float) -> Iterator[str]:
    yield from killed(scene, [scene.one("dispatcher", pick)])


@fault("worker", 0.2, 3)
def kill_worker(scene: Scene, pick: float) -> Iterator[str]:
    yield from killed(scene, [scene.one("worker", pick)])


@fault("worker", 0.2, 3)
def kill_all_workers(scene: Scene, pick: float) -> Iterator[str]:
    yield from killed(scene, [name for name in scene.system.processes if name.startswith("worker")])


def killed(scene: Scene, names: list[str]) -> Iterator[str]:
    for name in names:
        scene.system.kill(name)
    yield ", ".join(names)
    for name in names:
        scene.system.start(name)


@fault("worker", 0, 0)
def kill_worker_child(scene: Scene, pick: float) -> Iterator[str]:
    """Celery itself puts another in its place."""
    name = scene.one("worker", pick)
    children = scene.system.children(name)
    if not children:
        raise NothingThereError(f"{name} has no children yet")
    children[int(pick * 997) % len(children)].kill()
    yield f"{name}, one of {len(children)}"


@fault("worker", 0.2, 3)
def kill_worker_main(scene: Scene, pick: float) -> Iterator[str]:
    """Its children are left alone, in the middle of whatever they do."""
    name = scene.one("worker", pick)
    process = scene.system.processes.pop(name)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    scene.orphans += children
    yield name
    scene.system.start(name)


@fault("worker", 7, 9)
def freeze_worker(scene: Scene, pick: float) -> Iterator[str]:
    """For longer than its leases: when it goes on, others have what it holds."""
    yield from frozen(scene, scene.one("worker", pick))


@fault("dispatcher", 1, 6)
def freeze_dispatcher(scene: Scene, pick: float) -> Iterator[str]:
    yield from frozen(scene, scene.one("dispatcher", pick))


@fault("api", 1, 4)
def freeze_api(scene: Scene, pick: float) -> Iterator[str]:
    yield from frozen(scene, scene.one("api", pick))


def frozen(scene: Scene, name: str) -> Iterator[str]:
    scene.system.freeze(name)
    yield name
    scene.system.thaw(name)


# ---- Redis


@fault("redis", 0.5, 4)
def restart_redis(scene: Scene, pick: float) -> Iterator[str]:
    scene.system.valkey.stop()
    yield "SIGTERM"
    scene.system.valkey.start()


@fault("redis", 0.5, 4)
def kill_redis(scene: Scene, pick: float) -> Iterator[str]:
    lose(scene.system.valkey, dict.fromkeys(family(scene.system.valkey), signal.SIGKILL))
    yield "SIGKILL"
    scene.system.valkey.start()


@fault("redis", 1, 6)
def freeze_redis(scene: Scene, pick: float) -> Iterator[str]:
    (process, *_) = family(scene.system.valkey)
    process.suspend()
    yield "SIGSTOP"
    process.resume()


@fault("redis", 0, 0)
def flush_redis(scene: Scene, pick: float) -> Iterator[str]:
    with scene.redis() as redis:
        waiting = sum(redis.llen(queue) for queue in ("deliver_urgent", "fan_out", "deliver", "deliver_bulk"))
        redis.flushall()
    yield f"FLUSHALL, with {waiting} messages in its queues"


@fault("redis", 2, 5)
def fill_disk_of_redis(scene: Scene, pick: float) -> Iterator[str]:
    """Its append-only file may not grow: as on a full disk, it refuses all writes. The kernel's limit on the size of a
    process's files does that, without a mount or a privilege; on other systems than Linux, its own limit on memory."""
    if not hasattr(psutil, "RLIMIT_FSIZE"):
        with scene.redis() as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", "1")
            yield "maxmemory 1"
            redis.config_set("maxmemory", scene.system.valkey.max_memory)
            redis.config_set("maxmemory-policy", "volatile-lru")
        return
    (process, *_) = family(scene.system.valkey)
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in Path(scene.system.valkey.data).rglob("*.aof"))
    process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
    yield f"append-only file of {size} bytes"
    process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))


# ---- PostgreSQL


@fault("postgres", 0.1, 3)
def restart_postgres(scene: Scene, pick: float) -> Iterator[str]:
    scene.system.postgres.stop()
    yield "fast"
    scene.system.postgres.start()


@fault("postgres", 0.1, 3)
def stop_postgres_at_once(scene: Scene, pick: float) -> Iterator[str]:
    """No checkpoint: what was committed must come out of its log."""
    lose(scene.system.postgres, {family(scene.system.postgres)[0]: signal.SIGQUIT})
    yield "immediate"
    scene.system.postgres.start()


@fault("postgres", 0.1, 3)
def kill_postgres(scene: Scene, pick: float) -> Iterator[str]:
    lose(scene.system.postgres, dict.fromkeys(family(scene.system.postgres), signal.SIGKILL))
    yield "SIGKILL, all its processes"
    scene.system.postgres.start()


@fault("postgres", 0, 0)
def crash_postgres(scene: Scene, pick: float) -> Iterator[str]:
    """Killing one of its backends makes it end all others and recover by itself."""
    pids = ours(scene, "SELECT pid FROM")
    if not pids:
        raise NothingThereError("nobody is connected")
    os.kill(pids[int(pick * len(pids))], signal.SIGKILL)
    yield "SIGKILL, one backend"


@fault("postgres", 0, 0)
def terminate_connections(scene: Scene, pick: float) -> Iterator[str]:
    ended = ours(scene, "SELECT pg_terminate_backend(pid)::int FROM")
    yield f"{len(ended)} connections"


def ours(scene: Scene, select: str) -> list[int]:
    condition = "pg_stat_activity WHERE application_name LIKE 'planner-%' ORDER BY pid"
    with psycopg.connect(scene.system.postgres.url(), autocommit=True, connect_timeout=5) as connection:
        return [row[0] for row in connection.execute(f"{select} {condition}").fetchall()]


@fault("postgres", 0.5, 3)
def freeze_postgres(scene: Scene, pick: float) -> Iterator[str]:
    processes = family(scene.system.postgres)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    yield f"{len(processes)} processes"
    for process in reversed(processes):
        with suppress(psutil.NoSuchProcess):
            process.resume()


# ---- the mail server


@fault("sink", 1, 5)
def cut_mail_before(scene: Scene, pick: float) -> Iterator[str]:
    """Connections end amid a mail, which was not taken."""
    yield from disturbed(scene, Rule("END", "cut", share=0.3), Rule("MAIL", "cut", share=0.1))


@fault("sink", 1, 5)
def cut_mail_after(scene: Scene, pick: float) -> Iterator[str]:
    """Connections end when a mail was taken and nobody was told: what is sent again then comes twice."""
    yield from disturbed(scene, Rule("TAKEN", "cut", share=0.3))


@fault("sink", 1, 5)
def put_mail_off(scene: Scene, pick: float) -> Iterator[str]:
    yield from disturbed(scene, Rule("RCPT", "451 4.3.0 not now", share=0.4))


@fault("sink", 1, 4)
def turn_mail_away(scene: Scene, pick: float) -> Iterator[str]:
    yield from disturbed(scene, Rule("CONNECT", "421 4.3.2 too busy"), Rule("MAIL", "421 4.3.2 too busy", share=0.5))


def disturbed(scene: Scene, *rules: Rule) -> Iterator[str]:
    scene.disturb_mail(*rules)
    yield "; ".join(f"{rule.at} {rule.do} {rule.share:.0%}" for rule in rules)
    scene.disturb_mail()


@fault("sink", 0.5, 5)
def kill_mail_server(scene: Scene, pick: float) -> Iterator[str]:
    scene.sink.kill()
    yield "SIGKILL"
    scene.sink.start()


@fault("sink", 1, 4)
def freeze_mail_server(scene: Scene, pick: float) -> Iterator[str]:
    scene.sink.freeze()
    yield "SIGSTOP"
    scene.sink.thaw()
