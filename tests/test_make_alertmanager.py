"""Where alerts go, by settings: Alertmanager takes what is written, tells of a cause and keeps back what follows."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from planner_local.servers import free_port

from tests.hooks import HookSink
from tests.smtp import Mail, Sink
from tests.system import answers, until

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docker" / "make_alertmanager.py"
RULES = ROOT / "monitoring" / "prometheus" / "rules"
AMTOOL = shutil.which("amtool")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

MAIL = {
    "ALERT_EMAIL_TO": """"O'Neil: the \\ {one} #1" <ops@example.org>, bob@example.org""",
    "ALERT_EMAIL_FROM": "Planner ⏰ <planner@example.org>",
    "ALERT_SMARTHOST": "mail.example.org:587",
}
LOGIN = {"ALERT_SMTP_USER": """us'er": {{ "x" }} &*!|>%@`""", "ALERT_SMTP_PASSWORD_FILE": "/srv/password"}
NO_TLS = {"ALERT_SMTP_TLS": "never"}
HOOK = {"ALERT_WEBHOOK_URL": """https://example.org/alerts?token='{{"x"}}%20#: &"""}
HOOK_FILE = {"ALERT_WEBHOOK_URL_FILE": "/srv/url"}
UNSET = {"ALERT_EMAIL_TO": "", "ALERT_SMTP_PASSWORD_FILE": "/dev/null", "ALERT_WEBHOOK_URL_FILE": "/dev/null"}


def make(file: Path, settings: dict[str, str]) -> dict[str, Any]:
    """What the script writes, as Alertmanager's own parser has to read it. Raises RuntimeError with what it says."""
    done = subprocess.run([sys.executable, SCRIPT, file], env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    made: dict[str, Any] = yaml.safe_load(file.read_text())
    assert made == json.loads(file.read_text())
    return made


def test_without_settings_alerts_go_nowhere(tmp_path: Path) -> None:
    for settings in ({}, UNSET):
        assert make(tmp_path / "made.yml", settings)["receivers"] == [{"name": "operators"}]


@pytest.mark.parametrize("mail", [{}, MAIL, MAIL | NO_TLS, MAIL | LOGIN], ids=["", "mail", "no-tls", "login"])
@pytest.mark.parametrize("hook", [{}, HOOK, HOOK_FILE], ids=["", "hook", "hook-file"])
def test_alertmanager_takes_it(tmp_path: Path, mail: dict[str, str], hook: dict[str, str]) -> None:
    (receiver,) = make(tmp_path / "made.yml", UNSET | mail | hook)["receivers"]
    for config in receiver.get("email_configs", []):
        assert (config["to"], config["from"]) == (MAIL["ALERT_EMAIL_TO"], MAIL["ALERT_EMAIL_FROM"])
        assert config["require_tls"] == (mail.get("ALERT_SMTP_TLS") != "never")
        assert config.get("auth_username") == mail.get("ALERT_SMTP_USER")
        assert ("auth_password_file" in config) == ("ALERT_SMTP_USER" in mail)
    for config in receiver.get("webhook_configs", []):
        assert config.get("url") == hook.get("ALERT_WEBHOOK_URL")
        assert ("url_file" in config) == (hook == HOOK_FILE)
    assert ("email_configs" in receiver, "webhook_configs" in receiver) == (bool(mail), bool(hook))
    if AMTOOL is None:
        pytest.skip("there is no amtool (Debian has it in the package prometheus-alertmanager)")
    if hook == HOOK_FILE and version(AMTOOL) < (0, 26):
        pytest.skip("this amtool is older than url_file")
    said = subprocess.run([AMTOOL, "check-config", tmp_path / "made.yml"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout + said.stderr)
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ALERT_EMAIL_TO": "ops@example.org"}, "ALERT_EMAIL_FROM and ALERT_SMARTHOST must be set too"),
        (MAIL | {"ALERT_EMAIL_TO": "ops"}, "ALERT_EMAIL_TO is not an address"),
        (MAIL | {"ALERT_EMAIL_TO": "{{ .x }}@example.org"}, "ALERT_EMAIL_TO is not an address"),
        (MAIL | {"ALERT_EMAIL_FROM": "planner@example.org\n  x: y"}, "ALERT_EMAIL_FROM holds a line break"),
        (MAIL | {"ALERT_SMARTHOST": "mail.example.org"}, "ALERT_SMARTHOST is not host:port"),
        (MAIL | {"ALERT_SMTP_TLS": "yes"}, "ALERT_SMTP_TLS is neither always nor never"),
        (MAIL | {"ALERT_SMTP_USER": "ann"}, "ALERT_SMTP_PASSWORD_FILE must be set too"),
        (HOOK | HOOK_FILE, "ALERT_WEBHOOK_URL and ALERT_WEBHOOK_URL_FILE are both set"),
        ({"ALERT_WEBHOOK_URL": "example.org"}, "ALERT_WEBHOOK_URL is not an address"),
        ({"ALERT_WEBHOOK_URL": "https://example.org/%x"}, "ALERT_WEBHOOK_URL is not an address"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(RuntimeError, match=f"^make_alertmanager.py: {said}"):
        make(tmp_path / "made.yml", settings)
    assert not (tmp_path / "made.yml").exists()


def labels_of_rules() -> dict[str, dict[str, str]]:
    """What Prometheus sends of each alert."""
    return {
        rule["alert"]: {"alertname": rule["alert"], **rule["labels"]}
        for file in RULES.glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


LABELS = labels_of_rules()
SYMPTOMS = ["PlannerCanaryLate", "PlannerBacklogOld", "PlannerNotificationBurnFast", "PlannerAvailabilityBurnFast"]
WARNINGS = ["PlannerApiErrors", "PlannerExporterFailing", "PlannerTargetDown", "PlannerLeaseExpiries"]


def test_what_the_script_calls_by_name_exists() -> None:
    named = set(re.findall(r"\bPlanner\w[\w.+]*", SCRIPT.read_text().partition("INHIBIT = [")[0]))
    assert named
    for name in named:
        assert any(re.fullmatch(name, alert) for alert in LABELS), name


class Alertmanager:
    """A real one, with the configuration that the script writes, but for its waits: a second each."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        made = make(folder / "made.yml", settings)
        for route in (made["route"], *made["route"]["routes"]):
            route |= {"group_wait": "1s", "group_interval": "1s"}
        for receiver in made["receivers"]:
            for config in receiver.get("email_configs", []):
                if "auth_password_file" in config:
                    config["auth_password_file"] = settings["ALERT_SMTP_PASSWORD_FILE"]
        configuration = folder / "alertmanager.yml"
        configuration.write_text(json.dumps(made))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = (folder / "alertmanager.log").open("wb")
        assert ALERTMANAGER is not None
        self.process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={configuration}",
                f"--storage.path={folder / 'storage'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        until(lambda: answers(f"{self.url}/-/ready"), "Alertmanager is ready")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def tell(self, alerts: Iterable[str], *, over: bool = False) -> None:
        annotations = {"summary": "It is so.", "description": "First: `ls`", "runbook_url": "http://127.0.0.1/page.md"}
        ends = {"endsAt": datetime.now(UTC).isoformat()} if over else {}
        body = [{"labels": LABELS[alert], "annotations": annotations, **ends} for alert in alerts]
        httpx.post(f"{self.url}/api/v2/alerts", json=body, trust_env=False).raise_for_status()

    def alerts(self, **which: bool) -> set[str]:
        found = httpx.get(f"{self.url}/api/v2/alerts", params=which, trust_env=False).json()
        return {alert["labels"]["alertname"] for alert in found}


Run = Callable[[dict[str, str]], Alertmanager]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    if ALERTMANAGER is None:
        pytest.skip("there is no Alertmanager (Debian has it in the package prometheus-alertmanager)")
    running: list[Alertmanager] = []

    def start(settings: dict[str, str]) -> Alertmanager:
        running.append(Alertmanager(tmp_path, settings))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.mark.parametrize(
    ("cause", "following"),
    [
        ("PlannerWorkersGone", [*SYMPTOMS, *WARNINGS, "PlannerQueueNotConsumed"]),
        ("PlannerDispatcherSilent", [*SYMPTOMS, *WARNINGS]),
        ("PlannerApiDown", [*SYMPTOMS, *WARNINGS, "PlannerLatencyBurnFast"]),
        ("PlannerRedisAway", [*SYMPTOMS, *WARNINGS, "PlannerDispatcherSilent", "PlannerWorkersGone"]),
        (
            "PlannerPostgresAway",
            [*SYMPTOMS, *WARNINGS, "PlannerApiDown", "PlannerDispatcherSilent", "PlannerWorkersGone",
             "PlannerQueueNotConsumed", "PlannerSchemaBehind"],
        ),
        ("PlannerSchemaBehind", [*SYMPTOMS, *WARNINGS, "PlannerApiDown"]),
        ("PlannerQueueNotConsumed", [*SYMPTOMS, *WARNINGS]),
        ("PlannerCanaryLate", ["PlannerBacklogOld", "PlannerNotificationBurnFast", "PlannerLatencyBurnFast"]),
        ("PlannerBacklogOld", ["PlannerNotificationBurnFast"]),
    ],
)  # fmt: skip
def test_an_outage_wakes_somebody_once_by_its_cause(run: Run, cause: str, following: list[str]) -> None:
    alertmanager = run({})
    alertmanager.tell([cause, *following])
    until(lambda: alertmanager.alerts() == {cause, *following}, "all are there")
    assert alertmanager.alerts(inhibited=False) == {cause}


def test_two_outages_are_two(run: Run) -> None:
    alertmanager = run({})
    both = {"PlannerApiDown", "PlannerWorkersGone", "PlannerDispatcherSilent"}
    alertmanager.tell(both)
    until(lambda: alertmanager.alerts() == both, "all are there")
    assert alertmanager.alerts(inhibited=False) == both


def test_a_warning_keeps_nothing_quiet(run: Run) -> None:
    alertmanager = run({})
    some = {"PlannerWorkerChildStuck", "PlannerCanaryLate", "PlannerDeadLetters"}
    alertmanager.tell(some)
    until(lambda: alertmanager.alerts() == some, "all are there")
    assert alertmanager.alerts(inhibited=False) == some


def test_it_is_mailed_and_posted_once_and_what_follows_from_it_only_when_it_is_over(run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("not in the configuration")
    login = ("planner", password.read_text())
    with Sink(tmp_path / "smtp", auth=login) as smtp, HookSink(tmp_path / "hooks") as hooks:
        alertmanager = run(
            {
                "ALERT_EMAIL_TO": "ops@example.org",
                "ALERT_EMAIL_FROM": "planner@example.org",
                "ALERT_SMARTHOST": f"127.0.0.1:{smtp.port}",
                "ALERT_SMTP_TLS": "never",
                "ALERT_SMTP_USER": login[0],
                "ALERT_SMTP_PASSWORD_FILE": str(password),
                "ALERT_WEBHOOK_URL": hooks.url,
            }
        )
        assert login[1] not in (tmp_path / "made.yml").read_text()
        alertmanager.tell(["PlannerCanaryLate", "PlannerWorkersGone", "PlannerLeaseExpiries"])

        (mail,) = smtp.wait(1)
        assert (mail.sender, mail.recipients) == ("planner@example.org", ["ops@example.org"])
        assert mail.parsed()["Subject"] == "[FIRING] Planner: PlannerWorkersGone"
        said = text_of(mail)
        assert said.startswith("FIRING PlannerWorkersGone (critical), since 2")
        assert "\nIt is so.\nFirst: `ls`\nhttp://127.0.0.1/page.md\n" in said
        assert posted(hooks, 1) == [("firing", {"PlannerWorkersGone"})]

        alertmanager.tell(["PlannerWorkersGone"], over=True)
        expected = {("FIRING", "PlannerCanaryLate"), ("FIRING", "PlannerLeaseExpiries")}
        until(lambda: expected <= subjects(smtp), "what followed is mailed")
        assert any("RESOLVED PlannerWorkersGone" in text_of(mail) for mail in smtp.mails())
        until(lambda: {one for _, names in posted(hooks, 1) for one in names} == {
            "PlannerWorkersGone", "PlannerCanaryLate", "PlannerLeaseExpiries",
        }, "and posted")  # fmt: skip


def text_of(mail: Mail) -> str:
    (part,) = mail.parsed().iter_parts()
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


def subjects(smtp: Sink) -> set[tuple[str, str]]:
    found = (re.fullmatch(r"\[(\w+)\] Planner:(.*)", mail.parsed()["Subject"]) for mail in smtp.mails())
    return {(one[1], alert) for one in found if one for alert in one[2].split()}


def posted(hooks: HookSink, count: int) -> list[tuple[str, set[str]]]:
    bodies = [json.loads(hook.content) for hook in hooks.wait_for(count)]
    return [(body["status"], {alert["labels"]["alertname"] for alert in body["alerts"]}) for body in bodies]
