"""The process of `tests.smtp.Sink`: an SMTP server that notes every mail it takes before it answers, and fails as told.

Run by the path of this file with one argument, JSON: see `main`. It imports nothing of Planner.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import ssl
import sys
import time
import warnings
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SIMPLE = re.compile(r"<([^\s<>@,:\"\\]+@[^\s<>@,:\"\\]+)>((?: \S+)*)")
MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Rules:
    """The rules in force: read again whenever their file was replaced, which one `stat` per question finds out."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._seed = seed
        self._version: tuple[int, int] | None = None
        self._rules: list[dict[str, Any]] = []
        self._asked: Counter[tuple[str, str]] = Counter()

    def at(self, stage: str, key: str) -> str | None:
        """What to do now instead of what is usual. `key`: the recipient, as far as one is known."""
        there = self._path.stat()
        if (version := (there.st_ino, there.st_mtime_ns)) != self._version:
            self._rules = json.loads(self._path.read_text())
            self._version = version
        for rule in self._rules:
            if rule["at"] != stage or (rule["to"] and key not in rule["to"]) or rule["times"] == 0:
                continue
            if rule["share"] < 1:
                self._asked[stage, key] += 1
                asked = f"{self._seed}:{stage}:{key}:{self._asked[stage, key]}"
                if int.from_bytes(blake2b(asked.encode(), digest_size=4).digest()) >= rule["share"] * 2**32:
                    continue
            if rule["times"] is not None:
                rule["times"] -= 1
            return str(rule["do"])
        return None


class Taking:
    """What aiosmtpd asks as a conversation goes on."""

    def __init__(self, ledger: Path, *, raw: bool, pipelining: bool) -> None:
        self._raw = raw
        self._pipelining = pipelining
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], *(["250-PIPELINING"] if self._pipelining else []), *responses[1:]]

    async def handle_DATA(self, server: "Server", session: Session, envelope: Envelope) -> str:  # noqa: N802
        key = envelope.rcpt_tos[0]
        if (reply := await server.instead("END", key)) is not None:
            return reply
        content = envelope.original_content or b""
        found = MESSAGE_ID.search(content, 0, content.find(b"\r\n\r\n") + 2)
        mail = {
            "id": found[1].decode("ascii", "replace") if found else None,
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "size": len(content),
            "at": time.time(),
            "connection": session.peer[1] if session.peer else 0,
            "tls": session.ssl is not None or bool(server.transport and server.transport.get_extra_info("sslcontext")),
        }
        if self._raw:
            mail["raw"] = content.decode("latin-1")
        os.write(self._ledger, json.dumps(mail).encode() + b"\n")  # no buffer: it is there before anybody hears of it
        if (reply := await server.instead("TAKEN", key)) is not None:
            return reply
        return "250 2.0.0 taken"


class Server(SMTP):
    """One connection."""

    line_length_limit = 2**24
    """Of what is read at once: a whole mail, however long its lines. That is for the test to see, in the ledger."""

    def __init__(self, handler: Taking, rules: Rules, **options: Any) -> None:
        super().__init__(handler, **options)
        self._taking = handler
        self._rules = rules

    async def instead(self, stage: str, key: str = "") -> str | None:
        """The reply that a rule demands at this point, if any. Does not come back where it demands worse."""
        do = self._rules.at(stage, key)
        if do == "cut":
            if self.transport is not None:
                self.transport.abort()
            await asyncio.Event().wait()  # until the lost connection cancels this
        elif do == "hang":
            await asyncio.Event().wait()
        elif do is not None and do.startswith("wait "):
            await asyncio.sleep(float(do.removeprefix("wait ")))
            return None
        elif do is not None and do.startswith("421"):
            await self.push(do)
            if self.transport is not None:
                self.transport.close()
            await asyncio.Event().wait()
        return do

    async def _handle_client(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            if (reply := await self.instead("CONNECT")) is None:
                await super()._handle_client()
                return
            await self.push(reply)
            if self.transport is not None:
                self.transport.close()

    async def _unless(self, stage: str, arg: str | None, key: str = "") -> None:
        if (reply := await self.instead(stage, key)) is not None:
            await self.push(reply)
        else:
            await getattr(super(), f"smtp_{stage}")(arg)

    async def smtp_EHLO(self, arg: str) -> None:  # noqa: N802
        await self._unless("EHLO", arg)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        await self._unless("STARTTLS", arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        await self._unless("AUTH", arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._unless("MAIL", arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._unless("RCPT", arg, (arg or "").partition("<")[2].partition(">")[0])

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802, ARG002
        """As aiosmtpd's, but all lines at once, so that the sink is not what a measurement measures."""
        envelope, session = self.envelope, self.session
        assert envelope is not None
        assert session is not None
        if (reply := await self.instead("DATA", envelope.rcpt_tos[0] if envelope.rcpt_tos else "")) is not None:
            await self.push(reply)
            return
        if not envelope.rcpt_tos:
            await self.push("503 5.5.1 no recipient")
            return
        await self.push("354 go on")
        content = (await self._reader.readuntil(b"\r\n.\r\n"))[: -len(b".\r\n")]
        envelope.original_content = content.replace(b"\r\n..", b"\r\n.")
        reply = await self._taking.handle_DATA(self, session, envelope)
        self._set_post_data_state()
        await self.push(reply)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """What aiosmtpd does with a grammar, for addresses that are simple enough."""
        if (simple := SIMPLE.fullmatch(arg)) is not None:
            return simple[1], simple[2]
        return cast("tuple[str | None, str | None]", super()._getaddr(arg))


def _options(given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"hostname": "sink.test", "timeout": given["idle"], "enable_SMTPUTF8": given["utf8"]}
    if given["auth"]:
        expected = LoginPassword(*(part.encode() for part in given["auth"]))

        def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: Any) -> AuthResult:
            return AuthResult(success=login == expected, handled=False)

        options |= {"auth_required": True, "auth_require_tls": False, "authenticator": authenticate}
        options["auth_exclude_mechanism"] = ["LOGIN"]  # Alertmanager would take it, and not aiosmtpd's questions
    return options


async def serve(given: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    rules = Rules(Path(given["rules"]), given["seed"])
    taking = Taking(Path(given["ledger"]), raw=given["raw"], pipelining=given["pipelining"])
    options = _options(given)
    context = None
    if given["tls"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given["certificate"])
        if given["tls"] == "starttls":
            options |= {"tls_context": context}
            context = None
    server = await loop.create_server(
        lambda: Server(taking, rules, loop=loop, **options), "127.0.0.1", given["port"], ssl=context, backlog=1024
    )
    print("ready", flush=True)  # noqa: T201  # for who started this
    await stopped.wait()
    server.close()


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # of aiosmtpd: that passwords travel in the open here
    if not given["tls"]:  # aiosmtpd's STARTTLS reaches into asyncio's own transports
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415

            uvloop.install()
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()
