import subprocess
import sys
from pathlib import Path

import pytest
from planner_common.settings import Settings
from pydantic import ValidationError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def test_everything_has_a_working_default_but_secrets() -> None:
    settings = Settings()
    assert settings.broker() == "redis://127.0.0.1:6379/0"
    assert settings.results() == "redis://127.0.0.1:6379/0"
    assert settings.cache() == "redis://127.0.0.1:6379/1"
    assert settings.limits() == "redis://127.0.0.1:6379/2"
    assert settings.signing_key is None
    assert settings.flower_password is None


@pytest.mark.parametrize(
    ("url", "cache"),
    [
        ("redis://:secret@redis:6379", "redis://:secret@redis:6379/1"),
        ("redis://:secret@redis:6379/", "redis://:secret@redis:6379/1"),
        ("rediss://user:a%2Fb@redis:6379/0?ssl_cert_reqs=none", "rediss://user:a%2Fb@redis:6379/1?ssl_cert_reqs=none"),
    ],
)
def test_the_databases_of_redis_follow_its_url(monkeypatch: pytest.MonkeyPatch, url: str, cache: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert Settings().cache() == cache


def test_each_redis_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://broker:6379/5")
    monkeypatch.setenv("REDIS_CACHE_URL", "redis://cache:6379/0")
    settings = Settings()
    assert settings.broker() == "redis://broker:6379/5"
    assert settings.cache() == "redis://cache:6379/0"
    assert settings.limits() == "redis://127.0.0.1:6379/2"


def test_results_are_in_the_brokers_database_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://broker:6379/5")
    assert Settings().results() == "redis://broker:6379/5"
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://results:6379/6")
    assert Settings().results() == "redis://results:6379/6"


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" pass word \n")
    monkeypatch.setenv("FLOWER_PASSWORD_FILE", str(secret))
    settings = Settings()
    assert settings.flower_password is not None
    assert settings.flower_password.get_secret_value() == " pass word "
    assert "pass word" not in repr(settings)


def test_a_setting_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    monkeypatch.setenv("FLOWER_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("FLOWER_PASSWORD", "two")
    with pytest.raises(ValueError, match="both set"):
        Settings()


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_names_no_mail_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    (tmp_path / "url").write_text(content)
    monkeypatch.setenv("SMTP_URL_FILE", str(tmp_path / "url"))
    assert Settings().smtp_url is None
    monkeypatch.setenv("SMTP_URL_FILE", "/dev/null")
    assert Settings().smtp_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNING_KEY", "short"),
        ("API_PORT", "eighty"),
        ("LEASE_SECONDS", "0"),
        ("WORKER_PROCESSES", "0"),
        ("REGISTRATION", "sometimes"),
        ("FLOWER_PASSWORD", ""),
        ("FLOWER_USER", "a:b"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"API_PORT": "hunter2"}, "setting API_PORT: "),
        ({"SIGNING_KEY_FILE": "/nowhere"}, "setting: SIGNING_KEY_FILE names /nowhere, which cannot be read"),
    ],
)
def test_a_process_with_wrong_settings_says_which_and_stops(environment: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from planner_common.settings import settings_or_exit; settings_or_exit()"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.startswith(said)
    assert "hunter2" not in done.stderr
