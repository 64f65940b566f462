"""A calendar file as blocks of lines, before any line is judged: what is wrong in one event harms no other."""

import codecs
import re
from dataclasses import dataclass, field

from icalendar.parser import Contentlines

# What files are really written in. Python knows more, of which some take quadratic time (Punycode).
CHARSET = re.compile(
    r"utf-(8|16|32)|us-ascii|iso-8859-[0-9]{1,2}|(windows-|cp)[0-9]{3,4}|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|iso-2022-jp|gb(2312|k|18030)|big5"
)


@dataclass(slots=True)
class Block:
    """A component of a calendar: its unfolded lines, from BEGIN to END."""

    name: str
    lines: list[str]
    whole: bool = False
    """Whether its END is there."""

    @property
    def text(self) -> str:
        """The component, from BEGIN to END."""
        within = self.lines[1:-1] if self.whole else self.lines[1:]
        return "\r\n".join([f"BEGIN:{self.name}", *within, f"END:{self.name}"])


@dataclass(slots=True)
class Calendar:
    """A VCALENDAR. A file may hold several."""

    method: str = ""
    time_zone: str = ""
    """X-WR-TIMEZONE: not in any RFC, but in most files. It is where floating times belong."""
    events: list[Block] = field(default_factory=list)
    zones: list[Block] = field(default_factory=list)


def decoded(content: bytes, charset: str | None = None) -> str:
    """The text of a file. RFC 5545 §3.1.4 wants UTF-8; what is not is in `charset` or else comes from old Windows."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    given = charset if charset is not None and CHARSET.fullmatch(charset.lower()) else "cp1252"
    for encoding in ("utf-8-sig", given):
        try:
            return content.decode(encoding)
        except (ValueError, LookupError):
            continue
    return content.decode("cp1252", "replace")


def scan(text: str) -> list[Calendar]:
    """The calendars of a file, empty if it is not one."""
    scanner = Scanner()
    for line in Contentlines.from_ical(text):  # type: ignore[no-untyped-call]
        scanner.take(str(line))
    return scanner.calendars


class Scanner:
    def __init__(self) -> None:
        self.calendars: list[Calendar] = []
        self._block: Block | None = None

    def take(self, line: str) -> None:
        name, _, value = line.partition(":")
        name, value = name.strip().upper(), value.strip()
        if (name, value.upper()) == ("BEGIN", "VCALENDAR"):
            self.calendars.append(Calendar())
            self._block = None
        elif self._block is not None:
            self._inside(self._block, line, name, value.upper())
        elif self.calendars:
            self._outside(self.calendars[-1], line, name, value)

    def _outside(self, calendar: Calendar, line: str, name: str, value: str) -> None:
        if name == "BEGIN":
            self._begin(line, value.upper())
        elif name == "METHOD":
            calendar.method = value.upper()
        elif name.partition(";")[0] == "X-WR-TIMEZONE":
            calendar.time_zone = value

    def _inside(self, block: Block, line: str, name: str, value: str) -> None:
        if (name, value) == ("BEGIN", block.name):  # inside itself: the END of the first was forgotten
            self._begin(line, value)
        elif (name, value) == ("END", "VCALENDAR"):
            self._block = None
        else:
            block.lines.append(line)
            if (name, value) == ("END", block.name):
                block.whole = True
                self._block = None

    def _begin(self, line: str, name: str) -> None:
        self._block = Block(name, [line])
        if name == "VEVENT":
            self.calendars[-1].events.append(self._block)
        elif name == "VTIMEZONE":
            self.calendars[-1].zones.append(self._block)
