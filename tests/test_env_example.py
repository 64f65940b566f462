"""`.env.example` tells the truth about what can be set in Compose, and what holds if nothing is."""

import re
from pathlib import Path

import pytest
from planner_common.settings import Settings

ROOT = Path(__file__).parents[1]


def found(pattern: str, file: str) -> list[tuple[str, str]]:
    return re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)


EXAMPLE = dict(found(r"^#([A-Z_]+)=(.*)$", ".env.example"))
WITH_DEFAULT = dict(found(r"\$\{([A-Z_]+):-([^}]*)\}", "compose.yaml"))
PASSED_ON = {name for name, _end in found(r"\b([A-Z_]+):\s*(,|\}|$)", "compose.yaml")}


def test_it_names_what_compose_reads_and_nothing_else() -> None:
    assert set(EXAMPLE) == set(WITH_DEFAULT) | PASSED_ON


def test_its_values_are_the_defaults_of_compose_and_of_the_images() -> None:
    defaults = WITH_DEFAULT | dict(found(r"^ARG (\w+_IMAGE)=(.*)$", "docker/Dockerfile"))
    assert {name: EXAMPLE[name] for name in defaults} == defaults


@pytest.mark.parametrize("name", sorted(PASSED_ON - {"PYTHON_IMAGE", "UV_IMAGE"}))
def test_its_values_are_the_defaults_of_the_settings(name: str) -> None:
    default = Settings.model_fields[name.lower()].default
    assert Settings.model_validate({name.lower(): EXAMPLE[name]}).model_dump()[name.lower()] == default
