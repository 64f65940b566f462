from pathlib import Path

import pytest
from planner_common.doctor import Status, mail
from planner_common.settings import Settings

from common.tests.doctor.conftest import Look
from tests.smtp import Rule, Sink


def test_none_is_set_up(look: Look) -> None:
    assert look("mail").found == "SMTP_URL is not set here: no e-mail is sent"


@pytest.mark.parametrize(
    ("tls", "auth", "found"),
    [
        (None, None, "without TLS, without a login"),
        ("starttls", None, "by TLS, without a login"),
        ("starttls", ("planner", "secr/t"), "by TLS, with a login"),
        ("tls", ("planner", "secr/t"), "by TLS, with a login"),
    ],
)
def test_it_takes_us_and_gets_no_mail(
    look: Look, tmp_path: Path, tls: str | None, auth: tuple[str, str] | None, found: str
) -> None:
    with Sink(tmp_path, tls=tls, auth=auth) as sink:  # type: ignore[arg-type]
        finding = look("mail", smtp_url=sink.url)
        assert (finding.status, finding.advice) == (Status.OK, ""), finding
        assert finding.found == f"127.0.0.1:{sink.port} takes us, {found}"
        assert not sink.mails()


def test_a_wrong_password(look: Look, tmp_path: Path) -> None:
    with Sink(tmp_path, tls="starttls", auth=("planner", "right")) as sink:
        finding = look("mail", smtp_url=sink.url.replace("right", "secret"))
    assert finding.status is Status.FAILED
    assert f"127.0.0.1:{sink.port} refuses: 535" in finding.found
    assert "secret" not in str(finding)


def test_a_certificate_that_nobody_vouches_for(look: Look, tmp_path: Path) -> None:
    with Sink(tmp_path, tls="starttls") as sink:
        finding = look("mail", smtp_url=sink.url.partition("?")[0])
    assert finding.status is Status.FAILED
    assert "certificate verify failed" in finding.found


def test_no_starttls_where_it_is_demanded(look: Look, tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        assert look("mail", smtp_url=f"{sink.url}?starttls=always").status is Status.FAILED
        assert look("mail", smtp_url=f"{sink.url}?starttls=never").status is Status.OK


def test_nobody_there(look: Look, tmp_path: Path) -> None:
    finding = look("mail", smtp_url=Sink(tmp_path).url)
    assert finding.status is Status.FAILED
    assert "Connection refused" in finding.found


def test_one_that_says_nothing(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "TIMEOUT", 0.5)
    with Sink(tmp_path) as sink:
        sink.behave(Rule("EHLO", "hang"))
        finding = look("mail", smtp_url=sink.url)
    assert finding.status is Status.FAILED
    assert "timed out" in finding.found


def test_one_that_refuses(look: Look, tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        sink.behave(Rule("CONNECT", "421 4.3.2 come again"))
        finding = look("mail", smtp_url=sink.url)
    assert finding.status is Status.FAILED
    assert "421 4.3.2 come again" in finding.found


def test_a_url_that_makes_no_sense(look: Look) -> None:
    finding = look("mail", smtp_url="http://secret@example.org")
    assert (finding.status, finding.found) == (Status.FAILED, "SMTP_URL must begin with smtp:// or smtps://")


def test_an_empty_setting_is_none() -> None:
    assert Settings(smtp_url="").smtp_url is None  # type: ignore[arg-type]
