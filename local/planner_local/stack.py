"""All of Planner on this machine, under one folder: PostgreSQL, Valkey, the services, started and stopped in order."""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from planner_common.healthcheck import answers

from planner_local import mail, ports
from planner_local.servers import Postgres, Valkey, keep_secret, write_secret
from planner_local.state import Addresses, State
from planner_local.supervisor import Service, StartError, Supervised

BIN = Path(sys.executable).parent
NAMES = ["postgres", "valkey", "migrate", "api", "dispatcher", "worker", "flower", "exporter"]
STOP_ORDER = (
    ("api", "flower", "exporter", "migrate"),
    ("dispatcher",),
    ("worker",),
    ("valkey", "postgres"),
)
"""From the edge inwards, group by group: first nobody asks, then nothing is handed out, then nothing is worked on."""
GRACE_SECONDS = 40
"""More than any service gives itself."""
OWN = {
    "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_CACHE_URL", "RATE_LIMIT_URL",
    "SIGNING_KEY", "ENCRYPTION_KEYS", "FLOWER_PASSWORD", "CANARY_KEY", "API_URL", "HEARTBEAT_FILE", *ports.USUAL,
}  # fmt: skip
"""Settings that the stack makes itself. The others are taken from the environment, if they are there."""


def setting_names() -> set[str]:
    """The variables of all settings, read in the source: imported, it would keep 7 MB of Pydantic in memory."""
    spec = find_spec("planner_common.settings")
    assert spec and spec.origin  # noqa: S101, PT018  # we depend on it
    source = Path(spec.origin).read_text(encoding="utf-8")
    return {name.upper() for name in re.findall(r"^    (\w+): ", source, re.MULTILINE)}


class Stack:
    """`async with Stack(…) as stack:` runs it; `await stack.failure()` raises StartError should it break for good."""

    def __init__(self, folder: Path, environment: Mapping[str, str], write: Callable[[str, str], None]) -> None:
        """Raises StartError for a port that can't be had. `write` takes what the services print, line by line."""
        self.folder = folder
        self.write = write
        self.hurry = asyncio.Event()
        """Set it to stop at once what still takes its time."""
        self.ports, self.told = ports.choose(environment)
        self.secrets = folder / "secrets"
        self.environment = environment
        self.postgres = Postgres(
            folder / "postgres",
            self.ports["POSTGRES_PORT"],
            keep_secret(self.secrets / "postgres_password"),
            frugal=True,
        )
        self.valkey = Valkey(
            folder / "valkey", self.ports["VALKEY_PORT"], keep_secret(self.secrets / "valkey_password")
        )
        self.running: dict[str, Supervised] = {}
        self.mail: asyncio.Server | None = None
        self.state = State(folder, self._addresses())

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stop()

    async def failure(self) -> None:
        """Wait until one of the services can't go on, which nothing is known to cause, and raise why."""
        tasks = [process.task for process in self.running.values() if process.task and not process.once]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _start(self) -> None:
        self.state.end_leftovers(lambda line: self.write("postgres", line))
        for name, secret in self._secret_files().items():
            write_secret(self.secrets / name, secret)
        keep_secret(self.secrets / "signing_key")
        keep_secret(self.secrets / "encryption_keys")
        keep_secret(self.secrets / "flower_password")
        keep_secret(self.secrets / "canary_key")
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        self._supervise("postgres", self.postgres)
        self._supervise("valkey", self.valkey)
        await self._ready("postgres", "valkey")
        try:
            await asyncio.to_thread(self.postgres.make_database)
        except RuntimeError as error:
            raise StartError(
                f"PostgreSQL refuses us: {error}\nIf {self.secrets} is newer than {self.postgres.data}, "
                "put the old one back, or give the data up with `make clean`."
            ) from error
        if kept := self.state.addresses.mail:
            self.mail = await mail.listen(self.ports["MAIL_PORT"], Path(kept))
        services = self._services()
        self._supervise("migrate", services.pop("migrate"), once=True)
        await self._ready("migrate")
        for name, service in services.items():
            self._supervise(name, service)
        await self._ready(*services)
        self.state.ready = True
        self._save()

    async def _stop(self) -> None:
        for names in STOP_ORDER:
            group = [self.running[name] for name in names if name in self.running]
            await asyncio.gather(*(process.stop(GRACE_SECONDS, self.hurry) for process in group))
        if self.mail:
            self.mail.close()
        self.state.forget()

    def _supervise(self, name: str, program: Service | Postgres | Valkey, *, once: bool = False) -> None:
        self.running[name] = Supervised(name, program, self.write, self._save, once)
        self.running[name].start()

    async def _ready(self, *names: str) -> None:
        """Wait for all of them; raise for the first that fails."""
        waiting = [asyncio.create_task(self.running[name].until_ready()) for name in names]
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()

    def _save(self) -> None:
        self.state.save({name: process.pid for name, process in self.running.items()})

    def _secret_files(self) -> dict[str, str]:
        """What is put together anew at each start, since ports may have changed."""
        return {"database_url": self.postgres.url(), "redis_url": self.valkey.url()}

    def _addresses(self) -> Addresses:
        host = self.environment.get("API_HOST") or "127.0.0.1"
        if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            host = "127.0.0.1"
        at = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        prefix = self.environment.get("FLOWER_PREFIX", "").strip("/")
        return Addresses(
            api=f"http://{host}:{self.ports['API_PORT']}",
            flower=f"http://{at['FLOWER_PORT']}{f'/{prefix}/' if prefix else ''}",
            exporter=f"http://{at['EXPORTER_PORT']}/metrics",
            canary=f"http://{at['CANARY_PORT']}/metrics",
            api_metrics=f"http://{at['API_METRICS_PORT']}/metrics",
            worker_metrics=f"http://{at['WORKER_METRICS_PORT']}/metrics",
            dispatcher_metrics=f"http://{at['DISPATCHER_METRICS_PORT']}/metrics",
            flower_metrics=f"http://{at['FLOWER_METRICS_PORT']}/metrics",
            postgres=at["POSTGRES_PORT"],
            valkey=at["VALKEY_PORT"],
            mail="" if "SMTP_URL" in self.environment else str(self.folder / "mail"),
        )

    def _settings(self) -> dict[str, str]:
        """What all services find in their environment: settings that were given to us, and how to print."""
        names = setting_names() - OWN
        given = {name: self.environment[name] for name in names & self.environment.keys()}
        return given | {
            "PATH": f"{BIN}:{os.defpath}",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **{name: self.environment[name] for name in ("NO_COLOR", "TMPDIR", "TZ") if name in self.environment},
        }

    def _services(self) -> dict[str, Service]:
        """The commands that Compose runs too, each with the settings that it needs and no more."""
        common, run = self._settings(), self.folder / "run"
        database = {"DATABASE_URL_FILE": str(self.secrets / "database_url")}
        redis = {"REDIS_URL_FILE": str(self.secrets / "redis_url")}
        sealing = {"ENCRYPTION_KEYS_FILE": str(self.secrets / "encryption_keys")}
        api = {
            "SIGNING_KEY_FILE": str(self.secrets / "signing_key"),
            **sealing,
            "PROMETHEUS_MULTIPROC_DIR": str(run / "api-metrics"),
        }
        worker = {"PROMETHEUS_MULTIPROC_DIR": str(run / "worker-metrics"), **sealing}
        links = {"PUBLIC_URL": self.environment.get("PUBLIC_URL") or self.state.addresses.api}
        smtp = {"SMTP_URL": f"smtp://127.0.0.1:{self.ports['MAIL_PORT']}"} if self.state.addresses.mail else {}
        flower = {
            "FLOWER_PASSWORD_FILE": str(self.secrets / "flower_password"),
            "FLOWER_FILE": str(self.folder / "flower"),
        }
        canary = {"CANARY_KEY_FILE": str(self.secrets / "canary_key")}
        addresses = self.state.addresses

        def module(name: str, *settings: Mapping[str, str], service: str, ready: str | None = None) -> Service:
            environment = dict(common)
            for more in settings:
                environment |= more
            heartbeat = None if ready else run / f"{service}-heartbeat"
            if heartbeat:
                environment["HEARTBEAT_FILE"] = str(heartbeat)
            answered = partial(_answers, ready) if ready else (lambda: True)
            return Service([sys.executable, "-m", name], environment, answered, heartbeat)

        def port(*names: str) -> dict[str, str]:
            return {name: str(self.ports[name]) for name in names}

        return {
            "migrate": Service([str(BIN / "planner"), "migrate"], common | database | canary),
            "api": module(
                "planner_api", database, redis, api, smtp, port("API_PORT", "API_METRICS_PORT"),
                service="api", ready=f"{addresses.api}/readyz",
            ),
            "dispatcher": module(
                "planner_worker.dispatcher", database, redis, port("DISPATCHER_METRICS_PORT"), service="dispatcher"
            ),
            "worker": module(
                "planner_worker", database, redis, worker, smtp, links, port("WORKER_METRICS_PORT"), service="worker"
            ),
            "flower": module(
                "planner_worker.flower", redis, flower, port("FLOWER_PORT", "FLOWER_METRICS_PORT"),
                service="flower", ready=addresses.flower_metrics,
            ),
            "exporter": module(
                "planner_exporter", database, redis, canary, {"API_URL": addresses.api},
                port("EXPORTER_PORT", "CANARY_PORT"), service="exporter",
                ready=addresses.exporter.replace("/metrics", "/healthz"),  # as in Compose: nothing is measured for it
            ),
        }  # fmt: skip


def _answers(url: str) -> bool:
    return answers(url) is None
