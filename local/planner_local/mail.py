"""`python -m planner_local.mail`: a mail server that lets nothing out. Each mail becomes a file.

Mail programs open the files (`.eml`), and `ls` shows them in the order in which they came. It listens on MAIL_PORT,
keeps them in MAIL_FOLDER, and touches HEARTBEAT_FILE once it is ready.
"""

import asyncio
import os
import re
import signal
import warnings
from collections.abc import Callable
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


async def serve(port: int, folder: Path, ready: Callable[[], None]) -> None:
    """Listen until SIGTERM or SIGINT. `ready` is called once it does."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    make = partial(SMTP, Folder(folder), hostname="localhost", enable_SMTPUTF8=True, data_size_limit=LARGEST, loop=loop)
    server = await loop.create_server(make, HOST, port)
    try:
        ready()
        await stopping.wait()
    finally:
        server.close()


def main() -> None:
    warnings.simplefilter("ignore")  # aiosmtpd's, about a server that offers no TLS
    given = os.environ
    asyncio.run(serve(int(given["MAIL_PORT"]), Path(given["MAIL_FOLDER"]), Path(given["HEARTBEAT_FILE"]).touch))


if __name__ == "__main__":
    main()
