import os
from pathlib import Path

import pytest
from planner_common.doctor import Status

from common.tests.doctor.conftest import Fill, Look


@pytest.fixture(autouse=True)
def _only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "SIGNING_KEY", "ENCRYPTION_KEYS", "SMTP_URL", "FLOWER_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_disks_of_folders_that_are_written_to(look: Look, fill: Fill, tmp_path: Path) -> None:
    for percent, status in ((89, Status.OK), (91, Status.WARNING), (98, Status.FAILED)):
        fill(percent)
        finding = look("disk", heartbeat_file=tmp_path / "heartbeat")
        assert finding.status is status
        assert f"{100 - percent}.0 GB are free at" in finding.found
    assert look("disk", heartbeat_file=tmp_path / "nowhere/heartbeat").status is Status.FAILED


def test_secrets_that_others_may_read(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "key"
    secret.write_text("s")
    secret.chmod(0o600)
    monkeypatch.setenv("SIGNING_KEY_FILE", str(secret))
    monkeypatch.setenv("SMTP_URL_FILE", "/dev/null")  # as Compose does where there is none
    assert look("secret files").status is Status.OK
    for mode in (0o640, 0o604, 0o620):
        secret.chmod(mode)
        finding = look("secret files")
        assert finding.status is Status.FAILED
        assert "SIGNING_KEY_FILE (-rw-" in finding.found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_secrets_of_another_user(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "key"
    secret.touch(0o400)
    os.chown(secret, 12345, 12345)
    monkeypatch.setenv("SIGNING_KEY_FILE", str(secret))
    finding = look("secret files")
    assert finding.status is Status.FAILED
    assert "SIGNING_KEY_FILE (user 12345)" in finding.found


def test_secrets_in_the_environment(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://planner@127.0.0.1/planner")
    assert look("secrets given").status is Status.OK
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1/0")
    monkeypatch.setenv("SIGNING_KEY", "secret")
    finding = look("secrets given")
    assert (finding.status, finding.found) == (Status.WARNING, "REDIS_URL, SIGNING_KEY in the environment")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://planner.example.org", Status.OK),
        ("https://planner.example.org/base", Status.OK),
        ("http://planner.example.org", Status.WARNING),
        ("https://127.0.0.1:8000", Status.WARNING),
        ("https://localhost", Status.WARNING),
        ("planner.example.org", Status.FAILED),
        ("https://planner.example.org/?a=b", Status.FAILED),
        ("ftp://planner.example.org", Status.FAILED),
    ],
)
def test_public_urls(look: Look, url: str, status: Status) -> None:
    finding = look("public URL", public_url=url)
    assert finding.status is status
    assert bool(finding.advice) == (status is not Status.OK)
