"""An SMTP server for tests, in a process of its own. What it took is in a file that nothing under test can reach.

with Sink(folder) as sink:
    settings = Settings(smtp_url=sink.url, …)
    sink.behave(Rule("RCPT", "451 4.3.0 not now", share=0.2), Rule("TAKEN", "cut", times=1))
    …
    [mail] = sink.wait(1)
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self, cast
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from planner_local.guard import tied
from planner_local.servers import free_port

from tests.system import until

SERVER = Path(__file__).with_name("smtp_server.py")


@dataclass(frozen=True, slots=True)
class Rule:
    """What the sink does at one point of a conversation instead of going on. The first rule that applies, counts."""

    at: Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END", "TAKEN"]
    """`END`: the mail has been read and is not taken yet. `TAKEN`: it is in the ledger, and nobody was told."""
    do: str
    """A reply (`451 4.3.0 not now`; 421 closes the connection), `cut`, `hang`, or `wait 0.5` (seconds)."""
    share: float = 1
    """Of how many. Seeded by recipient and how often it came, so a later try may pass."""
    to: Sequence[str] = ()
    """Only for these recipients, from `RCPT` on."""
    times: int | None = None
    """Only so often; without end unless given."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was taken."""

    id: str | None
    """Its Message-ID, with the angle brackets."""
    sender: str
    recipients: list[str]
    options: list[str]
    """Of MAIL FROM."""
    size: int
    at: float
    connection: int
    """The client's port: another for each connection."""
    tls: bool
    raw: str | None = None
    """Its bytes, as Latin-1, where the sink keeps them."""

    @property
    def content(self) -> bytes:
        assert self.raw is not None, "this sink keeps no bodies"
        return self.raw.encode("latin-1")

    def parsed(self) -> EmailMessage:
        return cast("EmailMessage", message_from_bytes(self.content, policy=policy.default))


class Sink:
    """Listens on a free port of 127.0.0.1 and keeps it however often it is stopped and started."""

    server = SERVER

    def __init__(
        self,
        folder: Path,
        *,
        raw: bool = True,
        auth: tuple[str, str] | None = None,
        tls: Literal["starttls", "tls"] | None = None,
        utf8: bool = True,
        pipelining: bool = True,
        idle: float = 300,
        seed: int = 1,
    ) -> None:
        """`raw`: keep what mails say (costs speed). `auth`: user and password it demands. `utf8`, `pipelining`: offer
        SMTPUTF8, PIPELINING. `idle`: seconds after which it closes a silent connection.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.ca = folder / "certificate.pem"
        self._ledger = folder / "ledger.jsonl"
        self._rules = folder / "rules.json"
        self._process: subprocess.Popen[str] | None = None
        self._read = 0
        self._mails: list[Mail] = []
        self._auth = auth
        self._tls = tls
        self._given: dict[str, Any] = {
            "port": self.port,
            "rules": str(self._rules),
            "ledger": str(self._ledger),
            "certificate": str(self.ca),
            "raw": raw,
            "auth": auth,
            "tls": tls,
            "utf8": utf8,
            "pipelining": pipelining,
            "idle": idle,
            "seed": seed,
        }
        self.behave()
        if tls:
            certify(self.ca)

    @property
    def url(self) -> str:
        """For SMTP_URL."""
        user = f"{quote(self._auth[0], safe='')}:{quote(self._auth[1], safe='')}@" if self._auth else ""
        scheme = "smtps" if self._tls == "tls" else "smtp"
        return f"{scheme}://{user}127.0.0.1:{self.port}" + (f"?ca={quote(str(self.ca))}" if self._tls else "")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            self.thaw()
            self.stop()

    def start(self) -> Self:
        """Start it. It listens when this returns."""
        command = tied([sys.executable, str(self.server), json.dumps(self._given)], signal.SIGKILL)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.kill()
            raise RuntimeError(f"{self.server.name} did not start")
        return self

    def stop(self) -> None:
        """Let it go in order; connections are closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the SMTP sink does not run"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.wait(20)
        self._process.stdout.close()
        self._process = None

    def behave(self, *rules: Rule) -> None:
        """What is to happen from now on. Without rules: every mail is taken."""
        new = self._rules.with_suffix(".new")
        new.write_text(json.dumps([asdict(rule) for rule in rules]))
        new.replace(self._rules)

    def mails(self) -> list[Mail]:
        """What was taken so far, in order."""
        self._mails += [Mail(**line) for line in self._noted_since()]
        return list(self._mails)

    def _noted_since(self) -> list[dict[str, Any]]:
        """The lines of the ledger that came since this was asked before."""
        if not self._ledger.exists():
            return []
        with self._ledger.open("rb") as ledger:
            ledger.seek(self._read)
            complete = ledger.read().rpartition(b"\n")[0]
        if not complete:
            return []
        self._read += len(complete) + 1
        return [json.loads(line) for line in complete.split(b"\n")]

    def wait(self, count: int, seconds: float = 30) -> list[Mail]:
        """What was taken, as soon as there are at least so many."""
        until(lambda: len(self.mails()) >= count, f"{count} mails in the sink", seconds)
        return self.mails()


def certify(path: Path) -> None:
    """Write a key and a certificate for 127.0.0.1 and localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
