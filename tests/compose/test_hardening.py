"""What the containers may and may not do, and what is in the images."""

import json

import pytest

from tests.compose.stack import LASTING, ROUND, Failed, compose, containers, execute, python, run, service_of

SECRETS = {
    "api": {"database_url", "redis_url", "signing_key", "encryption_keys"},
    "dispatcher": {"database_url", "redis_url"},
    "worker": {"database_url", "redis_url", "encryption_keys"},
    "flower": {"redis_url", "password"},
    "exporter": {"database_url", "redis_url"},
    "canary": {"key"},
    "postgres": {"password"},
    "redis": {"password", "password.conf"},
}
SECRET = ("/password", "/signing_key", "/encryption_keys", "canary/key")
"""How files end that hold a secret itself, and not a URL with one in it."""
READ_SECRETS = (
    "import json, pathlib;"
    "print(json.dumps({str(f): f.read_text().strip() for f in pathlib.Path('/secrets').rglob('*') if f.is_file()}))"
)


def all_secrets() -> dict[str, str]:
    """Every file of the secrets' volume."""
    said = compose("run", "--rm", "--no-TTY", "--no-deps", "secrets", "python", "-c", READ_SECRETS)
    found: dict[str, str] = json.loads(said)
    return found


def test_all_services_are_healthy() -> None:
    state = {service_of(one): one["State"] for one in containers()}
    assert set(state) == {*ROUND, *LASTING}
    assert {name: state[name]["Health"]["Status"] for name in LASTING} == dict.fromkeys(LASTING, "healthy")
    assert {name: (state[name]["Status"], state[name]["ExitCode"]) for name in ROUND} == dict.fromkeys(
        ROUND, ("exited", 0)
    )


def test_only_the_api_and_flower_are_published_and_only_here() -> None:
    published = {
        (service_of(one), port, binding["HostIp"])
        for one in containers()
        for port, bindings in one["NetworkSettings"]["Ports"].items()
        for binding in bindings or []
    }
    assert published == {("api", "8000/tcp", "127.0.0.1"), ("flower", "5555/tcp", "127.0.0.1")}


@pytest.mark.parametrize("service", LASTING)
def test_a_container_has_no_privileges(service: str) -> None:
    """Every process in it: not root, no capability to be had, nothing to write to but /tmp and its data."""
    processes = execute(service, "sh", "-c", "cat /proc/[0-9]*/status").split("Name:\t")[1:]
    assert len(processes) > 1
    for process in processes:
        status = dict(line.split(":\t", 1) for line in process.splitlines()[1:] if ":\t" in line)
        assert "0" not in status["Uid"].split()
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
    with pytest.raises(Failed, match="Read-only file system"):
        execute(service, "sh", "-c", "echo > /x")


@pytest.mark.parametrize("service", LASTING)
def test_a_container_is_bounded(service: str) -> None:
    for one in containers(service):
        assert one["HostConfig"]["Memory"] > 0
        assert one["HostConfig"]["PidsLimit"] > 0
        assert one["HostConfig"]["LogConfig"]["Config"] == {"max-size": "20m", "max-file": "5"}
        assert one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def has_default_route(service: str) -> bool:
    routes = execute(service, "cat", "/proc/net/route").splitlines()[1:]
    return any(route.split()[1] == "00000000" for route in routes)


def test_the_data_have_no_way_out_and_no_way_in() -> None:
    for service in ("postgres", "redis", "dispatcher", "exporter", "canary"):
        assert not has_default_route(service), f"{service} has a default route"
    assert has_default_route("worker"), "mails and webhooks have no way out"


@pytest.mark.parametrize("service", LASTING)
def test_a_service_sees_its_own_secrets_only(service: str) -> None:
    assert set(execute(service, "ls", "/run/secrets").split()) == SECRETS[service]


def test_secrets_are_kept_to_themselves() -> None:
    """Not in the environment, an argument, a label, a log, or the configuration."""
    secrets = all_secrets()
    assert len(secrets) > len(SECRETS)
    passwords = {value for name, value in secrets.items() if name.endswith(SECRET)}
    assert len(passwords) == 7  # postgres, redis, flower, grafana, canary, the API's two keys: no two the same
    assert all(len(password) >= 43 for password in passwords)  # 256 bits
    ids = [one["Id"] for one in containers()]
    said = run("docker", "inspect", *ids) + compose("config") + compose("logs", "--no-color") + compose("top")
    assert [name for name, value in secrets.items() if value in said or any(p in said for p in passwords)] == []


def test_secrets_are_made_once() -> None:
    before = all_secrets()
    compose("run", "--rm", "--no-TTY", "secrets")
    assert all_secrets() == before


@pytest.mark.parametrize(
    ("service", "there", "not_there"),
    [
        ("api", ["fastapi", "alembic"], ["celery", "flower", "planner_worker", "planner_exporter", "pytest"]),
        ("worker", ["celery", "flower"], ["fastapi", "uvicorn", "planner_api", "planner_exporter", "pytest"]),
        ("exporter", ["prometheus_client"], ["fastapi", "celery", "planner_api", "planner_worker", "pytest"]),
    ],
)
def test_an_image_holds_what_it_runs(service: str, there: list[str], not_there: list[str]) -> None:
    code = f"import importlib.util as u; print(*(n for n in {there + not_there} if u.find_spec(n)))"
    assert python(service, code).split() == there
    tools = execute(service, "sh", "-c", "command -v uv gcc cc make git || true")
    assert tools == ""


def test_a_health_check_loads_little() -> None:
    """It is a process every ten seconds in every container. These alone would take longer than all the rest."""
    code = "import sys, planner_common.healthcheck; print(*sys.modules)"
    loaded = set(python("api", code).split())
    assert "planner_common.healthcheck" in loaded
    assert loaded & {"pathlib", "urllib.request", "http.client", "ssl", "asyncio", "pydantic"} == set()
