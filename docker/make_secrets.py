"""Makes the secrets of a Compose stack: random, on the first start, one folder of the volume for each service.

A service mounts its own folder at /run/secrets and sees no other. What exists is kept, so doing it again is harmless;
the URLs are put together anew each time. The files that Planner's own user reads are for that user alone; the official
images run as other users, so theirs are readable by whoever mounts the folder.

`python make_secrets.py add-key` puts a new key before those that seal what users entrust, and `drop-keys` leaves only
the first of them: see docs/operations/keys.md for what belongs in between. `show-keys` prints them, for a backup, and
`take-keys` reads them, after those that there are: docs/operations/backup.md.
"""

import os
import secrets
import sys
from pathlib import Path

ROOT = Path("/secrets")
OURS = 0o400
THEIRS = 0o444


def keep(name: str, value: str, mode: int) -> None:
    """Write the file in one step: a start that is interrupted leaves the old content or the new, never half of it."""
    path = ROOT / name
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(value + "\n", encoding="ascii")
    new.chmod(mode)
    new.replace(path)


def made(name: str, mode: int) -> str:
    """The secret in that file, made now if there is none yet."""
    path = ROOT / name
    if not path.exists():
        keep(name, secrets.token_urlsafe(32), mode)
    return path.read_text(encoding="ascii").strip()


def encryption_keys(wish: str | None) -> str:
    """The keys of API and workers, the newest first, after what is wished for."""
    name = "api/encryption_keys"
    keys = made(name, OURS).split(",")
    if wish == "add-key":
        keys.insert(0, secrets.token_urlsafe(32))
    elif wish == "drop-keys":
        del keys[1:]
    elif wish == "take-keys":
        keys += [key for key in sys.stdin.read().strip().split(",") if key and key not in keys]
    elif wish == "show-keys":
        sys.stdout.write(",".join(keys) + "\n")
    elif wish is not None:
        sys.exit(f"make_secrets.py: {wish} is none of add-key, drop-keys, show-keys, take-keys")
    keep(name, ",".join(keys), OURS)
    return ",".join(keys)


def main(wish: str | None = None) -> None:
    os.umask(0o022)
    database = made("postgres/password", THEIRS)
    redis = made("redis/password", THEIRS)
    keep("redis/password.conf", f"requirepass {redis}", THEIRS)
    for service in ("migrate", "api", "dispatcher", "worker", "exporter"):
        keep(f"{service}/database_url", f"postgresql://planner:{database}@postgres:5432/planner", OURS)
    for service in ("api", "dispatcher", "worker", "flower", "exporter"):
        keep(f"{service}/redis_url", f"redis://:{redis}@redis:6379/0", OURS)
    made("api/signing_key", OURS)
    keep("worker/encryption_keys", encryption_keys(wish), OURS)
    keep("migrate/canary_key", made("canary/key", OURS), OURS)
    made("flower/password", OURS)
    made("grafana/password", THEIRS)


if __name__ == "__main__":
    main(*sys.argv[1:2])
