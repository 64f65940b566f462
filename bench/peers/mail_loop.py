"""The limit of `email`: aiosmtplib in a loop that sends one prepared mail, over as many connections as told, to one
recipient after another. `python -m bench.peers.mail_loop '{"port", "mail": file, "mails", "connections"}'`."""

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiosmtplib import SMTP


async def one(port: int, mail: bytes, numbers: Iterable[int]) -> None:
    async with SMTP(hostname="127.0.0.1", port=port, start_tls=False) as server:
        for number in numbers:
            await server.sendmail("planner@example.org", [f"bare-{number}@example.net"], mail)


async def main(given: dict[str, Any], mail: bytes) -> None:
    share, connections = range(given["mails"]), given["connections"]
    await asyncio.gather(*(one(given["port"], mail, share[start::connections]) for start in range(connections)))


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    asyncio.run(main(told, Path(told["mail"]).read_bytes()))
