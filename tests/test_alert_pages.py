"""The pages that alerts link to: one for each, and what they tell one to type exists."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from planner_common.cli import app
from typer.main import get_command

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "operations" / "alerts"
INDEX = PAGES / "README.md"
ALERTS = {
    rule["alert"]: rule
    for file in sorted((ROOT / "monitoring" / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
LOCAL = ".venv/bin/python -m planner_local run "
WITH_VALUE = {"--since", "--until", "--tail", "--scale", "--profile", "--user"}
"""Options of `docker compose` whose value is the next word."""
OF_A_SERVICE = {"ps", "logs", "restart", "up", "stop", "start", "rm"}
IN_A_SERVICE = {"exec", "run"}


def code(text: str) -> list[str]:
    """Every line of the blocks for a shell, and every span of code, in one line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)
    ]


def check_planner(words: list[str]) -> None:
    command: Any = get_command(app)
    while hasattr(command, "commands"):  # a group
        name, *words = words
        assert name in command.commands, f"planner has no {name}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        assert not word.startswith("-") or word in options, f"planner {command.name} has no {word}"


def check_compose(words: list[str]) -> None:
    plain = []
    for word, before in zip(words, ["", *words], strict=False):
        if not word.startswith("-") and before not in WITH_VALUE:
            plain.append(word)
        elif before == "--scale":
            assert word.partition("=")[0] in SERVICES
        if plain and plain[0] in IN_A_SERVICE and len(plain) == 2:
            break  # the rest is for the service
    command, *services = plain
    assert command in OF_A_SERVICE | IN_A_SERVICE, f"docker compose {command}: not known here"
    assert set(services) <= set(SERVICES), services
    if command in IN_A_SERVICE:
        check(shlex.join(words[words.index(services[0]) + 1 :]))


def check(line: str) -> None:
    """Raises AssertionError where a command, its options or its service do not exist."""
    line = line.removeprefix(LOCAL).partition(" | ")[0]
    if line.startswith("planner "):
        check_planner(shlex.split(line)[1:])
    elif line.startswith("docker compose "):
        check_compose(shlex.split(line)[2:])


def test_there_is_a_page_for_each_alert_and_no_other() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {*ALERTS, INDEX.stem}


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_says_which_it_is_how_bad_how_to_look_and_what_to_do(alert: str) -> None:
    labels = ALERTS[alert]["labels"]
    text = (PAGES / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n\n**{labels['severity'].capitalize()}**, a {labels['kind']}. ")
    look, do = text.partition("\n## Look\n")[2].split("\n## Do\n")
    assert "\ndocker" in look
    assert LOCAL in look
    assert do.strip()
    (first,) = re.findall(r"First: `([^`]+)`", ALERTS[alert]["annotations"]["description"])
    assert first in code(look) or f"docker compose exec api {first}" in code(look)


def test_the_index_has_each_of_them_and_how_bad_it_is() -> None:
    critical, _, warning = INDEX.read_text().partition("\n## Warning")
    for severity, text in (("critical", critical), ("warning", warning)):
        listed = dict(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", text, re.MULTILINE))
        assert listed == {
            alert: rule["labels"]["kind"] for alert, rule in ALERTS.items() if rule["labels"]["severity"] == severity
        }


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_what_it_tells_one_to_type_exists(page: Path) -> None:
    for line in code(page.read_text()):
        check(line)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_it_links_to_pages_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize(
    "line",
    [
        "planner audti",
        "planner dead lst",
        "planner audit --stuk 60",
        "docker compose ps --all wroker",
        "docker compose logs --since 10m apu",
        "docker compose up --wait --scale wrker=3",
        "docker compose exec api planner dcotor",
        "docker compose run --rm --no-deps ap planner doctor",
        f"{LOCAL}planner dctor",
    ],
)
def test_what_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises(AssertionError):
        check(line)
