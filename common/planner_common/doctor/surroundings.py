"""What surrounds this process: its disks, its secrets, and where it says that it is."""

import os
import stat
import tempfile
from contextlib import nullcontext
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from planner_common.doctor.database import room
from planner_common.doctor.examination import Group
from planner_common.doctor.verdicts import Verdict, failed, ok, warning
from planner_common.settings import Settings

group = Group("this machine", "see what the error says", nullcontext)


@group.check("disk")
def disk(settings: Settings) -> Verdict:
    """Where this process may write; that of PostgreSQL is looked at with it."""
    heartbeat = settings.heartbeat_file
    folders = {Path(tempfile.gettempdir())} | ({heartbeat.parent} if heartbeat else set())
    verdicts = (room(folder, "", "make room: without any, health checks fail") for folder in sorted(folders))
    return max(verdicts, key=lambda verdict: verdict.status.rank)


def _secrets() -> list[str]:
    """The names of the settings that are secret."""
    return [name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


@group.check("secret files")
def secret_files(_settings: Settings) -> Verdict:
    """Nobody but their reader may read them, and nobody at all may change them."""
    given = {name: Path(file) for name in _secrets() if (file := os.environ.get(f"{name}_FILE"))}
    open_, foreign = [], []
    for name, path in given.items():
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            continue  # /dev/null: there is none
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            open_.append(f"{name}_FILE ({stat.filemode(found.st_mode)})")
        if found.st_uid not in {os.geteuid(), 0}:
            foreign.append(f"{name}_FILE (user {found.st_uid})")
    if open_:
        return failed(f"others may read or change {', '.join(open_)}", "chmod 400 them")
    if foreign:
        return failed(f"they belong to another user: {', '.join(foreign)}", f"chown {os.geteuid()} them")
    return ok(f"{len(given)}, for their user alone")


@group.check("secrets given")
def secrets_given(_settings: Settings) -> Verdict:
    """In files: the environment is shown by `docker inspect`, and inherited by all that is started."""
    if bare := [name for name in _secrets() if _is_secret(name, os.environ.get(name, ""))]:
        return warning(f"{', '.join(bare)} in the environment", f"put them into files and set {bare[0]}_FILE")
    return ok("none in the environment")


def _is_secret(name: str, value: str) -> bool:
    """A URL without a password gives nothing away."""
    if not name.endswith("_URL") and name != "CELERY_RESULT_BACKEND":
        return bool(value)
    return urlsplit(value).password is not None


@group.check("public URL")
def public_url(settings: Settings) -> Verdict:
    url = settings.public_url
    parts = urlsplit(url)
    advice = "set PUBLIC_URL to the address by which people reach the API, here and for the workers"
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        return failed(f"{url} is no beginning of a link", advice)
    if _is_here(parts.hostname):
        return warning(f"{url}: links in messages lead to the reader's own machine", advice)
    if parts.scheme == "http":
        return warning(f"{url}: whoever is on the way can read and change what people see", "serve it by https")
    return ok(url)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
