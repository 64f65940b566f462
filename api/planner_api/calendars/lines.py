"""Content lines (RFC 5545 §3.1), as they are written. By hand: icalendar takes a second for what is 0.1 s here."""

import re

LINE_OCTETS = 75
"""What a line may have without its break."""
# What has a meaning in a TEXT, and what would break a line, also for programs that take Unicode's word for what does.
SPECIAL = re.compile("[\\\\;,]|\r\n?|[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
BREAKS = {"\r\n", "\r", "\n", "\x85", "\u2028", "\u2029"}
NOT_IN_LINES = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
UNICODE_BREAKS = re.compile("[\x85\u2028\u2029]")
# A value begins after the first colon that is not quoted.
QUOTED = re.compile(r'((?:[^":]|"[^"]*")*):(.*)')


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if found in BREAKS:
        return "\\n"
    return f"\\{found}" if found in "\\;," else ""


def escaped(text: str) -> str:
    """A text as a value of type TEXT (§3.3.11). Control characters, which it cannot hold, are left out."""
    return SPECIAL.sub(_escape, text)


def quoted(text: str) -> str:
    """A text as a parameter's value, in quotes, which no client needs to be told of RFC 6868 for."""
    return f'"{NOT_IN_LINES.sub(" ", text).replace(chr(34), chr(39)).replace("^", "^^")}"'


def clean(line: str) -> str:
    """A line that came from elsewhere without what would break it."""
    return UNICODE_BREAKS.sub(r"\\n", NOT_IN_LINES.sub("", line))


def parts(line: str) -> tuple[str, str]:
    """Name and parameters, and the value."""
    if '"' in line and (match := QUOTED.fullmatch(line)):
        return match[1], match[2]
    head, _, value = line.partition(":")
    return head, value


def folded(line: str) -> str:
    """A line as lines of no more than 75 octets, none of which ends within a character."""
    if line.isascii():
        if len(line) <= LINE_OCTETS:
            return line
        pieces = [line[:LINE_OCTETS], *(line[at : at + 74] for at in range(LINE_OCTETS, len(line), 74))]
        return "\r\n ".join(pieces)
    octets = line.encode()
    pieces, begin, room = [], 0, LINE_OCTETS
    while len(octets) - begin > room:
        end = begin + room
        while octets[end] & 0xC0 == 0x80:  # noqa: PLR2004  # a character goes on here
            end -= 1
        pieces.append(octets[begin:end])
        begin, room = end, LINE_OCTETS - 1
    return b"\r\n ".join([*pieces, octets[begin:]]).decode()
