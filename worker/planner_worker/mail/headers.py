"""Text of users on its way into mails: made harmless, and encoded for headers (RFC 5322, RFC 2047)."""

import re
from email.charset import SHORTEST, Charset
from email.header import Header
from email.utils import parseaddr

import idna

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Invisible characters that turn the direction of text, also of what stands beside it."""
BREAKS = re.compile(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
HARMFUL = re.compile(rf"[\x00-\x09\x0b-\x1f\x7f-\x9f{BIDI}\ud800-\udfff]")
PLAIN = re.compile(r"[ -~]*")
WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
UNFIT = rf"\s\x00-\x20\x7f-\x9f{BIDI}()<>\[\]:;@\\,\""
"""Stands in no address that we send to: quoted local parts and addresses of hosts (`[127.0.0.1]`) are none."""
ADDRESS = re.compile(f"[^{UNFIT}]+@[^{UNFIT}]+")
ENCODED = "=?"
UTF_8 = Charset("utf-8")
UTF_8.header_encoding = SHORTEST  # said, for a plugin of Apprise changes what `email` does by default in this process
LINE = 76
"""Bytes that a line of a header should not exceed."""


class AddressError(ValueError):
    """No mail can be sent to this."""


def line(text: str, limit: int) -> str:
    """Users' text for one line: no breaks, nothing that cannot be seen and acts nevertheless."""
    return shortened(" ".join(HARMFUL.sub("", " ".join(text.split())).split()), limit)


def lines(text: str, limit: int) -> str:
    """Likewise for several lines, of which no two in a row are empty."""
    clean = HARMFUL.sub("", BREAKS.sub("\n", text.replace("\t", " ")))
    return shortened(re.sub(r"\n\s*\n\s*", "\n\n", clean).strip(), limit)


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def unstructured(name: str, text: str) -> bytes:
    """A header of free text, such as `Subject`, for text without breaks."""
    if PLAIN.fullmatch(text) and ENCODED not in text and len(name) + 2 + len(text) <= LINE:
        return f"{name}: {text}\r\n".encode("ascii")
    return f"{name}: {_encoded(name, text)}\r\n".encode("ascii")


def mailbox(name: str, phrase: str, address: str) -> bytes:
    """A header of one address, such as `To`; `phrase` is whose it is, without breaks, and may be empty."""
    if not phrase:
        shown = ""
    elif ENCODED in phrase or not PLAIN.fullmatch(phrase):
        shown = f"{_encoded(name, phrase)}\r\n "
    else:
        if not WORDS.fullmatch(phrase):
            escaped = phrase.replace("\\", "\\\\").replace('"', '\\"')
            phrase = f'"{escaped}"'
        shown = f"{phrase}\r\n " if len(name) + len(phrase) + len(address) + 5 > LINE else f"{phrase} "
    return f"{name}: {shown}<{address}>\r\n".encode()


def _encoded(name: str, text: str) -> str:
    return Header(text, UTF_8, maxlinelen=LINE - 1, header_name=name).encode(linesep="\r\n")


def address_of(text: str) -> str:
    """An address as SMTP takes it: the domain in ASCII. Raises AddressError."""
    if not ADDRESS.fullmatch(text):
        raise AddressError("this is not an e-mail address that mail can be sent to")
    local, _, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("the part of the e-mail address after @ is not the name of a domain") from error
    return f"{local}@{domain}"


def sender_of(text: str) -> tuple[str, str]:
    """The name and the address in `MAIL_FROM`. Raises ValueError."""
    phrase, address = parseaddr(text)
    try:
        address = address_of("" if BREAKS.search(text) else address)
    except AddressError as error:
        raise ValueError("MAIL_FROM must be like planner@example.org or Planner <planner@example.org>") from error
    if not address.isascii():
        raise ValueError("MAIL_FROM: the part of the address before @ must be ASCII")
    return line(phrase, LINE), address
