"""Logs tell what happened, and no secrets."""

import json
import logging
import secrets
from collections.abc import Iterator

import pytest
import structlog
from planner_common.logging import bind, configure_logging, get_logger, unbind
from planner_common.settings import Settings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(password: str) -> None:
    raise ValueError(len(password))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging(Settings.model_validate({"log_format": log_format}), "tests")
    secret = secrets.token_hex()
    try:
        fail(secret)
    except ValueError as error:
        get_logger("tests").error("failed", exc_info=error)
        logging.getLogger("a.library").exception("failed too")
    output = capsys.readouterr().out
    assert output.count("ValueError") >= 2
    assert secret not in output


def test_one_line_of_json_with_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"), "tests")
    bind(request_id="r1")
    get_logger("tests").info("happened", number=7)
    logging.getLogger("a.library").warning("said %s", "so", extra={"color_message": "said so"})
    unbind("request_id")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first.items() >= {"event": "happened", "number": 7, "request_id": "r1", "service": "tests"}.items()
    assert second.items() >= {"event": "said so", "level": "warning", "request_id": "r1"}.items()
    assert "color_message" not in second
