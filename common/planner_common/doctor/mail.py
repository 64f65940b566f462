"""The mail server: it takes us in. No mail is sent."""

import smtplib
import socket
from contextlib import nullcontext

from planner_common.doctor.examination import Group
from planner_common.doctor.verdicts import Verdict, failed, ok
from planner_common.logging import in_short
from planner_common.settings import Settings
from planner_common.smtp import Server

TIMEOUT = 8.0
SUCCESS = 250
ADVICE = "see docs/operations/mail.md, and try SMTP_URL from the worker's host"


group = Group("the mail server", ADVICE, nullcontext)


@group.check("mail")
def mail(settings: Settings) -> Verdict:
    """As the worker does it: connect, TLS, log in; then NOOP and QUIT."""
    if settings.smtp_url is None:
        return ok("SMTP_URL is not set here: no e-mail is sent")
    try:
        server = Server.of(settings.smtp_url.get_secret_value())
    except ValueError as error:
        return failed(str(error), "correct SMTP_URL: the worker does not start with it")
    where = f"{server.host}:{server.port}"
    try:
        with _connect(server) as connection:
            tls = server.implicit_tls
            connection.ehlo_or_helo_if_needed()
            if server.starttls or (server.starttls is None and connection.has_extn("starttls")):
                connection.starttls(context=server.context)
                tls = True
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
            code, answer = connection.noop()
    except smtplib.SMTPResponseException as error:
        return failed(f"{where} refuses: {_said(error.smtp_code, error.smtp_error)}", ADVICE)
    except (OSError, smtplib.SMTPException) as error:
        return failed(f"{where}: {in_short(error)}", ADVICE)
    if code != SUCCESS:
        return failed(f"{where} refuses: {_said(code, answer)}", ADVICE)
    return ok(f"{where} takes us, {'by' if tls else 'without'} TLS, {'with' if server.user else 'without'} a login")


def _connect(server: Server) -> smtplib.SMTP:
    """The name is given since finding it out would ask the DNS."""
    name = socket.gethostname()
    if server.implicit_tls:
        return smtplib.SMTP_SSL(server.host, server.port, name, timeout=TIMEOUT, context=server.context)
    return smtplib.SMTP(server.host, server.port, name, timeout=TIMEOUT)


def _said(code: int, answer: bytes | str) -> str:
    return f"{code} {answer.decode(errors='replace') if isinstance(answer, bytes) else answer}"
