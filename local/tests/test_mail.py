"""Mails of the stack without Docker: files, and nothing that leaves."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtplib
import pytest
from planner_local import mail
from planner_local.servers import free_port

CONTENT = b"Subject: Dinner\r\nMessage-ID: <1@localhost>\r\n\r\n.A line with a dot\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
async def port(folder: Path) -> AsyncIterator[int]:
    number = free_port()
    server = await mail.listen(number, folder)
    yield number
    server.close()


async def test_each_recipient_has_a_file_with_the_mail_as_it_came(port: int, folder: Path) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port) as smtp:
        for recipient in ("ann@example.org", "бен@example.org", "../../etc/passwd@example.org"):
            await smtp.sendmail("planner@localhost", recipient, CONTENT, mail_options=["SMTPUTF8"])
    files = sorted(folder.iterdir())  # noqa: ASYNC240  # nobody waits
    assert [path.name.split("-", 5)[5] for path in files] == [
        "ann@example.org.eml",
        "бен@example.org.eml",
        ".._.._etc_passwd@example.org.eml",
    ]
    assert [path.read_bytes() for path in files] == [CONTENT] * 3
