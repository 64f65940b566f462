"""The process of `tests.hooks.HookSink`: an HTTP server that notes every request before it answers, and fails as told.

Run by the path of this file with one argument, JSON: see `main`. It imports nothing of Planner.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from smtp_server import Rules

DRIP_SECONDS = 0.2
"""Between two bytes."""


class Server:
    def __init__(self, given: dict[str, Any]) -> None:
        self._rules = Rules(Path(given["rules"]), given["seed"])
        self._raw = given["raw"]
        self._ledger = os.open(given["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.talks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.ensure_future(self._talk(reader, writer))
        self.talks.add(talk)
        talk.add_done_callback(self.talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the connection is closed."""
        self._note({"kind": "connection"})
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if not await self._instead(self._rules.at("CONNECT", ""), reader, writer):
                await self._answer(reader, writer)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _version = head[0].split(" ")
        fields = (line.partition(":")[::2] for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        identity = headers.get("webhook-id", "")
        do = self._rules.at("END", identity)
        answer = do if do and do[0].isdigit() else "200"
        noted = {"kind": "request", "method": method, "path": path, "id": identity}
        noted["status"] = None if do in {"cut", "hang", "drip"} else int(answer[:3])
        if self._raw:
            noted |= {"headers": headers, "body": body.decode("latin-1")}
        self._note(noted)  # no buffer: it is there before anybody hears of it
        if answer is not do and await self._instead(do, reader, writer):
            return
        if await self._instead(self._rules.at("TAKEN", identity), reader, writer):
            return
        writer.write(response(answer))
        await writer.drain()

    async def _instead(self, do: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do as a rule demands. False if what is usual is to follow."""
        if do is None:
            return False
        if do.startswith("wait "):
            await asyncio.sleep(float(do.removeprefix("wait ")))
            return False
        if do == "cut":
            writer.transport.abort()
        elif do == "hang":
            await reader.read()  # until the other side has enough
        elif do == "drip":
            for byte in response("200"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
        else:
            writer.write(response(do))
        return True

    def _note(self, what: dict[str, Any]) -> None:
        os.write(self._ledger, json.dumps(what | {"at": time.time()}).encode() + b"\n")


def response(do: str) -> bytes:
    """From `429`, or `429` with lines of a head and a body as HTTP has them, to what is sent."""
    head, _, body = do.partition("\n\n")
    status, *fields = head.split("\n")
    content = body.encode()
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(content)}", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def serve(given: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    context = None
    if given["tls"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given["certificate"])
    hooks = Server(given)
    server = await asyncio.start_server(hooks.accept, "127.0.0.1", given["port"], ssl=context, backlog=1024)
    print("ready", flush=True)  # noqa: T201  # for who started this
    await stopped.wait()
    server.close()
    for talk in hooks.talks:
        talk.cancel()


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()
