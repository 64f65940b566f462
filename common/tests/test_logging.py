"""Logs tell what happened, and no secrets."""

import json
import logging
import secrets
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
from planner_common.logging import QUIET, bind, configure_logging, get_logger, in_short, unbind, without_addresses
from planner_common.settings import Settings
from sqlalchemy.exc import DBAPIError


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<bob.o'neil+x@mail.example.org> unknown", "<…@…> unknown"),
        ("Key (email)=(bob@example.org) exists", "Key (email)=(…@…) exists"),
        ("postgresql://planner:secret@db:5432/planner failed", "postgresql://… failed"),
        ("POST https://user:secret@hooks.example.org/T0/B0?token=x: 500", "POST https://hooks.example.org/… 500"),
        ("http://127.0.0.1:8000 (Press CTRL+C)", "http://127.0.0.1:8000 (Press CTRL+C)"),
        ("https://example.org?key=secret", "https://example.org/…"),
        ("tgram://123456789:secret/42", "tgram://…"),
        ("celery@worker ready.", "celery@worker ready."),
        ("nothing to hide: a/b", "nothing to hide: a/b"),
    ],
)
def test_of_addresses_and_urls_what_identifies_is_left_out(text: str, shown: str) -> None:
    assert without_addresses(text) == shown


class DatabaseError(Exception):
    def __init__(self, text: str, sqlstate: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("text", "sqlstate", "short"),
    [
        (
            "<class 'asyncpg.exceptions.DataError'>: invalid input for query argument $1: 'the title' (a str is due)",
            "22000",
            "DatabaseError: invalid input for query argument $1",
        ),
        (
            'invalid input syntax for type uuid: "the title"',
            "22P02",
            "DatabaseError: invalid input syntax for type uuid",
        ),
        (
            'duplicate key value violates unique constraint "uq"\nDETAIL:  Key (email)=(bob) already exists.',
            "23505",
            'DatabaseError: duplicate key value violates unique constraint "uq"',
        ),
        ("connection failed: Connection refused", "08006", "DatabaseError: connection failed: Connection refused"),
    ],
)
def test_a_database_error_quotes_no_values(text: str, sqlstate: str, short: str) -> None:
    error = DatabaseError(text, sqlstate)
    assert in_short(error) == short
    assert in_short(DBAPIError("INSERT …", {"title": "the title"}, error)) == short


def test_libraries_say_no_more_than_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json", log_level="debug"), "tests")
    for name in ("asyncpg", "aiosmtplib", "celery.worker", "python_multipart", "httpcore"):
        logging.getLogger(name).debug("the password")
    logging.getLogger("httpx").info("GET https://example.org/the-password")
    get_logger("planner_worker").debug("handed out")
    logging.getLogger("py.warnings").warning("a\nwarning")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in said[:1]] == ["handed out"]
    assert "a\nwarning" in said[1]["event"]
    assert len(said) == 2


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_errors_are_told_with_what_they_came_of(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging(Settings.model_validate({"log_format": log_format}), "tests")
    secret = secrets.token_hex()
    try:
        try:
            fail("x")
        except ValueError:
            group = ExceptionGroup(
                "some", [KeyError("inner"), DatabaseError(f"a: {secret}@example.org\nDETAIL: b", "08000")]
            )
            raise RuntimeError(f"first line\n{secret}") from group
    except RuntimeError:
        get_logger("planner_worker").exception("failed")
    said = capsys.readouterr().out
    if log_format == "json":
        (line,) = said.splitlines()
        said = json.loads(line)["exception"]
    for part in (
        "KeyError: 'inner'",
        "DatabaseError: a: …@…",
        "which led to:",
        "RuntimeError: first line",
        "test_logging.py",
    ):
        assert part in said
    assert secret not in said


def test_what_ends_a_process_or_a_thread_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"), "tests")
    thread = threading.Thread(target=fail, args=("x",))
    thread.start()
    thread.join()
    try:
        fail("x")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    for line in capsys.readouterr().out.splitlines():
        said = json.loads(line)
        assert (said["event"], said["level"]) == ("ended by an error", "critical")
        assert said["exception"].endswith("ValueError: 1")
