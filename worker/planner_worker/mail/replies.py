"""What a mail server's replies mean for a mail with one recipient (RFC 5321 §4.2.1, RFC 3463).

A 5xx to the recipient or to the mail is final. A 5xx to what is the same for every mail (the greeting, the login, the
sender) is the server's matter, or that of whoever set it up: it will pass, for all mails at once.
"""

import re
from enum import StrEnum

from planner_common.deliveries import Outcome

from planner_worker.channels import ANSWER_LIMIT, Result


class Stage(StrEnum):
    """How far a mail has come, in words for a try's detail."""

    QUEUE = "waiting for a connection"
    CONNECT = "connecting"
    RSET = "RSET"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    END = "the mail"
    """It was sent to its end."""


DONE, NOT_NOW, NEVER = 2, 4, 5
"""The first digits of replies."""
UNAVAILABLE = 421
"""The server closes the connection, whatever it was asked."""
START_INPUT = 354
TOO_MUCH = 552
"""Too many recipients, a full mailbox, or too much mail."""
OURS = frozenset({UNAVAILABLE, 503, 530, 535, 538})
"""Closing, wrong order of commands, not logged in: nothing is said about the mail or its recipient."""


def judged(stage: Stage, code: int, text: str) -> Result:
    """What a reply that ends a conversation means."""
    detail = said(f"{stage}: {code} {text}")
    if code // 100 == DONE and stage is not Stage.CONNECT:
        return Result(outcome=Outcome.ACCEPTED, status=code, detail=detail)
    if _of_server(stage, code):
        return Result(outcome=Outcome.LATER, status=code, detail=detail, host_failed=True)
    # RFC 5321 §4.5.3.1.10: 552 is to be treated as 452 here.
    final = code // 100 == NEVER and not (stage is Stage.RCPT and code == TOO_MUCH)
    return Result(outcome=Outcome.REFUSED if final else Outcome.LATER, status=code, detail=detail)


def _of_server(stage: Stage, code: int) -> bool:
    """Whether any mail would have got this reply. A 552 to the sender is about the size that was named with it."""
    if code in OURS or code // 100 not in {NOT_NOW, NEVER}:
        return True
    return stage is Stage.CONNECT or (stage is Stage.MAIL and code != TOO_MUCH)


def said(text: str) -> str:
    """One line that can be shown, of bounded length."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " ", text).strip()[:ANSWER_LIMIT]
