"""A mail server that lets nothing out: each mail becomes a file.

Mail programs open the files (`.eml`), and `ls` shows them in the order in which they came. It runs in the process that
supervises the others: one of its own would be 13 MB.
"""

import asyncio
import re
import warnings
from datetime import datetime
from functools import partial
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
LARGEST = 33_554_432
UNFIT = re.compile(r"[^\w.+@-]")
"""Does not belong in the name of a file."""


class Folder:
    """What aiosmtpd asks as a conversation goes on."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        for recipient in envelope.rcpt_tos:
            self.keep(recipient, envelope.original_content or b"")
        return "250 2.0.0 kept as a file"

    def keep(self, recipient: str, content: bytes) -> Path:
        """The file of a mail: whole from the moment that it has its name."""
        now = datetime.now().astimezone()
        path = self._path / f"{now:%Y-%m-%dT%H-%M-%S.%f}-{UNFIT.sub('_', recipient)[:100]}.eml"
        new = path.with_suffix(".new")
        new.write_bytes(content)
        return new.replace(path)


async def listen(port: int, folder: Path) -> asyncio.Server:
    """The server, which listens in this loop until it is closed."""
    warnings.filterwarnings("ignore", module="aiosmtpd")  # a server that offers no TLS
    loop = asyncio.get_running_loop()
    make = partial(SMTP, Folder(folder), hostname="localhost", enable_SMTPUTF8=True, data_size_limit=LARGEST, loop=loop)
    return await loop.create_server(make, HOST, port)
