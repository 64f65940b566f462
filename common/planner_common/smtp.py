"""The mail server, as `SMTP_URL` names it."""

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

PORTS = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT = 587
"""Where one logs in (RFC 6409)."""
OPTIONS = frozenset({"starttls", "ca"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`Server.of(url)`."""

    host: str
    port: int
    user: str | None
    password: str | None
    implicit_tls: bool
    """TLS from the start."""
    starttls: bool | None
    """Whether to ask for it; None: if it is offered."""
    context: ssl.SSLContext

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ValueError, which says what is wrong without repeating the URL: it may hold a password.

        Beside what the setting's description says: `?ca=/path.pem` names the certificates that the server's is checked
        against, instead of the system's. A password goes without TLS to this machine or after
        `?starttls=never` only.
        """
        parts = urlsplit(url)
        if parts.scheme not in PORTS:
            raise ValueError("SMTP_URL must begin with smtp:// or smtps://")
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"SMTP_URL: its port is not a number from 0 to 65535{ENCODE}") from error
        if not parts.hostname or parts.path not in {"", "/"} or parts.fragment:
            raise ValueError(f"SMTP_URL must look like smtp://user:password@host:587?starttls=always{ENCODE}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - OPTIONS:
            raise ValueError(f"SMTP_URL: unknown: {', '.join(sorted(unknown))}; there are ?starttls= and ?ca=")
        user, password = (unquote(part) if part is not None else None for part in (parts.username, parts.password))
        if (user is None) != (password is None):
            raise ValueError("SMTP_URL: a user and a password come together (user:password@host)")
        implicit = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (SUBMISSION_PORT if user is not None and not implicit else PORTS[parts.scheme]),
            user=user,
            password=password,
            implicit_tls=implicit,
            starttls=_starttls(options.get("starttls"), implicit, user is not None and not _is_here(parts.hostname)),
            context=_context(options.get("ca")),
        )


ENCODE = "; characters like # / ? @ in a user or password are written as %23 %2F %3F %40"


def _starttls(wish: str | None, implicit: bool, secret: bool) -> bool | None:
    if wish is None:
        return False if implicit else secret or None
    if implicit:
        raise ValueError("SMTP_URL: smtps:// is TLS from the start: ?starttls= belongs to smtp://")
    if wish not in {"always", "never"}:
        raise ValueError("SMTP_URL: ?starttls= is always or never")
    return wish == "always"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"SMTP_URL: ?ca= names {ca}, which holds no certificates or cannot be read: {error}"
        ) from error
