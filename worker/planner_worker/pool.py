"""Celery's pool of children, made to notice a child that does nothing and that the pool itself is of no use any more.

Celery hands a job to one child and waits for ever for its word that it began: time limits count from that word. So a
child that is frozen, or hangs between two jobs, would keep its job, and with it a share of the worker, for good. Here
it is killed; the pool starts another and gives it the job, whose work the lease in the database has handed out
meanwhile. And children that die whenever they are started would be started for ever: here the process ends.
"""
# ruff: noqa: SLF001  # Celery and billiard tell what we need to know in no other way

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from billiard.exceptions import RestartFreqExceeded
from billiard.pool import ACK, READY, RUN
from celery.concurrency import asynpool, prefork
from planner_common import metrics
from planner_common.logging import get_logger
from planner_common.settings import get_settings

from planner_worker.app import TASK_SECONDS
from planner_worker.forking import share
from planner_worker.heartbeat import progressed, turned

STUCK_SECONDS = 10
"""How long a child may keep a job without a word. It takes milliseconds."""
STATUS = 71
"""How the process exits when its pool is broken: EX_OSERR of sysexits.h."""

logger = get_logger("planner_worker.pool")


class Pool(asynpool.AsynPool):
    """Seconds are counted by the main loop's own turns, so that children are not blamed while it stands still."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.waiting: dict[tuple[int, int], int] = {}
        """A child and a job that it has and did not begin → for how many seconds."""
        self.running: dict[int, int] = {}
        """A job that was begun and did not end → its child. Some are no longer in the cache: see `flush`."""
        self.silent = 0
        """For how many seconds no child said anything although there is work and none is at it."""
        self.stopping = 0
        """For how many seconds the worker has been told to stop."""
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # Celery has no types
        hear = self._result_handler.state_handlers
        for kind, heard in ((asynpool.WORKER_UP, self.is_up), (ACK, self.began), (READY, self.ended)):
            hear[kind] = both(heard, hear[kind])

    def is_up(self, _child: int) -> None:
        self.silent = 0

    def began(self, job: int, _index: object, _at: object, child: int, _fd: object) -> None:
        self.silent = 0
        self.running[job] = child

    def ended(self, job: int, *_result: object) -> None:
        self.silent = 0
        self.running.pop(job, None)

    @property
    def timers(self) -> dict[Callable[[], None], float]:
        """What the main loop calls every so many seconds."""
        return {**super().timers, self.watch: 1.0}

    def watch(self) -> None:
        """Look after the children. Called by the main loop each second."""
        turned()
        if self._state != RUN:
            progressed()
            self.stopping += 1
            if self.stopping == STUCK_SECONDS:
                self.end_the_idle()
            return
        metrics.children.set(len(self._all_inqueues))
        living = {child.pid for child in self._pool}
        self.running = {job: child for job, child in self.running.items() if child in living}
        jobs = list(self._cache.values())
        given = [(child.pid, job._job) for job in jobs if (child := given_to(job)) in self._pool]
        self.waiting = {one: self.waiting.get(one, 0) + 1 for one in given}
        for (child, job), seconds in self.waiting.items():
            # One that is at a job which was forgotten when the broker went away may take the time that a job may take.
            if seconds >= (TASK_SECONDS if child in self.running.values() else STUCK_SECONDS):
                self.waiting[child, job] = 0
                logger.error("a child took work and did not begin it: killed", child=child, seconds=seconds)
                metrics.children_stuck.inc()
                kill(child)
        semaphore: Any = self._putlock  # Celery's, where tasks wait for a place in the pool
        idle = self._all_inqueues and not jobs and not semaphore._waiting
        self.silent = 0 if idle or any(job._accepted for job in jobs) else self.silent + 1
        if not self.silent:
            progressed()
        elif 0 < get_settings().watchdog_seconds <= self.silent:
            self.end()

    def end_the_idle(self) -> None:
        """Kill those that were told to end, have nothing to do and are still there: the worker would wait for them."""
        for child in self._pool:
            if child._popen.returncode is None and child.pid not in self.running.values():
                logger.error("a child does not stop: killed", child=child.pid)
                kill(child.pid)

    def end(self) -> NoReturn:
        """The pool is broken: let who started this process start it anew."""
        logger.critical("the pool of children is broken", seconds=self.silent, children=len(self._all_inqueues))
        for child in self._pool:
            kill(child.pid)
        os._exit(STATUS)

    def maintain_pool(self) -> None:
        """Put children in the places of those that ended."""
        try:
            super().maintain_pool()  # type: ignore[no-untyped-call]
        except RestartFreqExceeded:  # it has closed itself, and Celery would go on without a pool
            self.end()

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        """Have the main loop see that a child ends, unless it has.

        When the broker comes back all children are tracked anew. For one that ended in that moment, seen and not
        collected yet, Celery would end the worker: «file descriptor is None» (celery 5.7.0).
        """
        if getattr(proc, "_sentinel_poll", proc) is not None:
            super()._track_child_process(proc, hub)  # type: ignore[no-untyped-call]


class TaskPool(prefork.TaskPool):
    """The pool of `worker_pool`."""

    Pool = Pool

    def on_start(self) -> None:
        share()
        super().on_start()  # type: ignore[no-untyped-call]


def given_to(job: Any) -> Any:
    """The child that has a job, or is to get it, and did not begin it."""
    return None if job._accepted else job._write_to or job._scheduled_for


def kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: Any) -> None:
        first(*arguments)
        second(*arguments)

    return call
