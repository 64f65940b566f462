"""The usual way to send mail: a Celery task for each, with smtplib. Two processes."""

import os
import smtplib
from collections.abc import Iterable
from email.message import EmailMessage

from celery import Celery

WORKERS = [["celery", "-A", "bench.peers.mail_task", "worker", "--concurrency=2", "--loglevel=WARNING"]]

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True


@app.task
def mail(recipient: str) -> None:
    message = EmailMessage()
    message["Subject"] = "Assembly"
    message["From"] = "planner@example.org"
    message["To"] = recipient
    message.set_content("The assembly takes place on 1 May 2030, from 19:00 to 22:00.\n")
    with smtplib.SMTP("127.0.0.1", int(os.environ["SMTP_PORT"])) as server:
        server.send_message(message)


def send(recipients: Iterable[str]) -> None:
    for recipient in recipients:
        mail.delay(recipient)
