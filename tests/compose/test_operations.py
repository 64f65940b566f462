"""What an operator does: the commands answer as they expect."""

import os
from pathlib import Path

import httpx
import pytest
from planner_local.client import Person

from tests.compose.stack import Failed, compose, execute, python

MAIL_IS_ON = "from planner_common.settings import get_settings; print(get_settings().smtp_url is not None)"


def test_flower_asks_for_its_login_and_shows_the_workers() -> None:
    url = f"http://127.0.0.1:{os.environ['FLOWER_PORT']}"
    login = ("planner", execute("flower", "cat", "/run/secrets/password").strip())
    assert httpx.get(f"{url}/workers", trust_env=False).status_code == 401
    assert httpx.get(f"{url}/workers", auth=("planner", "planner"), trust_env=False).status_code == 401
    workers = httpx.get(f"{url}/api/workers", auth=login, params={"refresh": 1}, trust_env=False)
    assert workers.status_code == 200
    assert [name.partition("@")[0] for name in workers.json()] == ["worker"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("registered", "planner.fan_out"),
        ("active_queues", "fan_out"),
        ("active", "- empty -"),
        ("stats", '"max-concurrency": 2'),
    ],
)
def test_celery_inspect_answers(command: str, expected: str) -> None:
    assert expected in execute("worker", "celery", "-A", "planner_worker.app", "inspect", command)


def test_redis_cli_answers_without_being_told_the_password() -> None:
    assert execute("redis", "redis-cli", "ping") == "PONG\n"
    assert int(execute("redis", "redis-cli", "LLEN", "fan_out")) >= 0
    assert execute("redis", "redis-cli", "CONFIG", "GET", "maxmemory-policy").split()[1] == "volatile-lru"


def test_redis_asks_for_a_password() -> None:
    said = execute("redis", "sh", "-c", "PATH=/usr/local/bin:/usr/bin:/bin redis-cli ping")
    assert "NOAUTH" in said


def test_the_audit_says_that_all_is_there() -> None:
    assert " 0 missing, 0 extra" in execute("api", "planner", "audit", "--wait", "30")


@pytest.mark.parametrize("command", ["dead list", "held list", "user list --admins"])
def test_the_commands_of_operators_find_nothing_where_there_is_nothing(command: str) -> None:
    with pytest.raises(Failed, match=r"exit 1\n(no dead deliveries|nothing is held|no admins)\n"):
        execute("api", "planner", *command.split())


def test_mail_is_set_up_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers see it, and say what is wrong with it; the API sees that it is there."""
    assert python("worker", MAIL_IS_ON) == "False\n"
    url = tmp_path / "url"
    tmp_path.chmod(0o755)
    url.write_text("smtp://mail.example.org\n")
    monkeypatch.setenv("SMTP_URL_FILE", str(url))
    compose("up", "--detach", "--wait", "--no-deps", "api", "worker")
    assert python("api", MAIL_IS_ON) == python("worker", MAIL_IS_ON) == "True\n"
    url.write_text("mail.example.org\n")
    said = compose(
        "run", "--rm", "--no-TTY", "--no-deps", "worker", "sh", "-c", "python -m planner_worker 2>&1; echo $?"
    )
    assert said == "setting SMTP_URL must begin with smtp:// or smtps://\n78\n"
    monkeypatch.delenv("SMTP_URL_FILE")
    compose("up", "--detach", "--wait", "--no-deps", "api", "worker")
    assert python("worker", MAIL_IS_ON) == "False\n"


def test_keys_are_changed() -> None:
    """As docs/operations/keys.md says."""
    made = ("run", "--rm", "--no-TTY", "--no-deps", "secrets", "python", "make_secrets.py")
    before = execute("api", "cat", "/run/secrets/encryption_keys").strip()
    compose(*made, "add-key")
    compose("restart", "api", "worker")
    compose("up", "--detach", "--wait", "--no-deps", "api", "worker")
    keys = execute("worker", "cat", "/run/secrets/encryption_keys").strip().split(",")
    assert keys[1:] == [before]
    assert "sealed with the first key" in execute("api", "planner", "keys", "rotate")
    compose(*made, "drop-keys")
    assert execute("api", "cat", "/run/secrets/encryption_keys").strip() == keys[0]


async def test_what_is_told_outlives_the_containers(ann: Person) -> None:
    """`down` keeps the volumes; everything stops in order, nothing is killed for being late."""
    event = (await ann.call("POST", "/events", json=dinner())).json()
    compose("stop")
    exits = compose("ps", "--all", "--format", "{{.Service}} {{.ExitCode}}").splitlines()
    assert not [line for line in exits if line.endswith(" 137")]
    compose("down")
    compose("up", "--detach", "--wait")
    again = (await ann.call("GET", f"/events/{event['id']}")).json()
    assert again == event


def dinner() -> dict[str, object]:
    return {
        "title": "Dinner",
        "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
    }
