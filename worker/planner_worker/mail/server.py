"""Connections to the mail server that `SMTP_URL` names."""

from aiosmtplib import SMTP
from planner_common import smtp


class Server(smtp.Server):
    """`Server.of(url)`, as the worker talks to it."""

    def connection(self, name: str) -> SMTP:
        """A connection that is not open yet. `name`: what we call ourselves."""
        return SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            use_tls=self.implicit_tls,
            start_tls=self.starttls,
            tls_context=self.context,
            local_hostname=name,
            timeout=None,  # who uses it sets one limit for all steps
        )
