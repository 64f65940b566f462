"""Content lines (RFC 5545 §3.1), as they are written. By hand: icalendar takes a second for what is 0.1 s here."""

import re

LINE_OCTETS = 75
"""What a line may have without its break."""
# Also what is one to programs that take Unicode's word for it.
BREAKS = re.compile("\r\n?|[\x85\u2028\u2029]")
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
# A value begins after the first colon that is not quoted.
QUOTED = re.compile(r'((?:[^":]|"[^"]*")*):(.*)')


def escaped(text: str) -> str:
    """A text as a value of type TEXT (§3.3.11). Control characters, which it cannot hold, are left out."""
    if not text.isprintable():
        text = CONTROLS.sub("", BREAKS.sub("\n", text))
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def quoted(text: str) -> str:
    """A text as a parameter's value, in quotes, which no client needs to be told of RFC 6868 for."""
    line = CONTROLS.sub(" ", BREAKS.sub(" ", text)).replace("\n", " ")
    return f'"{line.replace(chr(34), chr(39)).replace("^", "^^")}"'


def clean(line: str) -> str:
    """A line that came from elsewhere without what would break it."""
    return line if line.isprintable() else CONTROLS.sub("", BREAKS.sub(r"\\n", line).replace("\n", r"\n"))


def parts(line: str) -> tuple[str, str]:
    """Name and parameters, and the value."""
    if '"' in line and (match := QUOTED.fullmatch(line)):
        return match[1], match[2]
    head, _, value = line.partition(":")
    return head, value


def folded(line: str) -> str:
    """A line as lines of no more than 75 octets, none of which ends within a character."""
    if line.isascii():
        pieces = [line[:LINE_OCTETS], *[line[at : at + 74] for at in range(LINE_OCTETS, len(line), 74)]]
        return "\r\n ".join(pieces)
    octets = line.encode()
    whole, begin, room = [], 0, LINE_OCTETS
    while len(octets) - begin > room:
        end = begin + room
        while octets[end] & 0xC0 == 0x80:  # noqa: PLR2004  # a character goes on here
            end -= 1
        whole.append(octets[begin:end])
        begin, room = end, LINE_OCTETS - 1
    return b"\r\n ".join([*whole, octets[begin:]]).decode()
