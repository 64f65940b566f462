"""A receiver of webhooks for tests, in a process of its own. What it got is in a file that nothing under test reaches.

with HookSink(folder) as sink:
    settings = Settings(webhook_http=True, outbound_ports=str(sink.port), outbound_networks="127.0.0.0/8")
    sink.behave(Rule("END", "503", share=0.2), Rule("END", "429\\nRetry-After: 2", times=1), Rule("TAKEN", "cut"))
    …
    [hook] = sink.wait_for(1)

The rules are those of `tests.smtp`: at `CONNECT`, at `END` (the request was read, and what is demanded is its answer),
or when it is `TAKEN` (it is in the ledger with its 200, and nobody was told). They may demand a status, with a head and
a body after it as HTTP has them, `cut`, `hang`, `drip` (an answer, five bytes a second) or `wait 0.5`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.smtp import Rule, Sink
from tests.system import until

__all__ = ["Hook", "HookSink", "Rule"]

SERVER = Path(__file__).with_name("hooks_server.py")


@dataclass(frozen=True, slots=True)
class Hook:
    """A request that was read."""

    method: str
    path: str
    id: str
    """Its webhook-id; empty for what has none."""
    status: int | None
    """What it is answered; None where a rule demanded no answer at all."""
    at: float
    headers: dict[str, str] | None = None
    """By names in small letters."""
    body: str | None = None
    """Its bytes, as Latin-1, where the sink keeps them."""

    @property
    def content(self) -> bytes:
        assert self.body is not None, "this sink keeps no bodies"
        return self.body.encode("latin-1")


class HookSink(Sink):
    """Listens on a free port of 127.0.0.1 and keeps it however often it is stopped and started.

    Where it has TLS, its certificate is for 127.0.0.1 and localhost, and is its own authority: `ca`.
    """

    server = SERVER

    def __init__(self, folder: Path, *, raw: bool = True, tls: bool = False, seed: int = 1) -> None:
        """`raw`: keep heads and bodies; costs speed."""
        super().__init__(folder, raw=raw, tls="tls" if tls else None, seed=seed)
        self._noted: dict[str, list[dict[str, Any]]] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def hooks(self) -> list[Hook]:
        """What was read so far, in order."""
        return [Hook(**line) for line in self._lines("request")]

    def connections(self) -> int:
        """How often somebody connected, whether or not a request came."""
        return len(self._lines("connection"))

    def taken(self) -> list[Hook]:
        """What was answered 2xx, or would have been."""
        return [hook for hook in self.hooks() if hook.status is not None and hook.status in range(200, 300)]

    def wait_for(self, count: int, seconds: float = 30) -> list[Hook]:
        """What was taken, as soon as there is at least so much."""
        until(lambda: len(self.taken()) >= count, f"{count} webhooks in the sink", seconds)
        return self.taken()

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        for line in self._noted_since():
            self._noted.setdefault(line.pop("kind"), []).append(line)
        return self._noted.get(kind, [])
