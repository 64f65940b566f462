"""Asking Planner's API with what Python has: one connection, JSON, personal tokens."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

TIMEOUT = 5.0
"""Seconds that the API may be silent during a request."""

AWAY = (OSError, HTTPException)
"""What is raised where the API does not answer, or what answers is not the API."""


class RefusedError(Exception):
    """The API answered, with a status that is no success."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.retry_after = retry_after
        """Seconds that it asks to be left alone; 0: none."""


class Api:
    def __init__(self, url: str) -> None:
        """`url`: `http://host:port`."""
        self._connection = HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT)

    def call(self, token: str, method: str, path: str, body: object = None, request_id: str = "") -> Any:
        """What it answers. Raises RefusedError, or one of AWAY."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if request_id:
            headers["X-Request-ID"] = request_id
        connection = self._connection
        try:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            content = response.read()
        except AWAY:
            connection.close()  # so that the next request makes a new one
            raise
        if not 200 <= response.status < 300:  # noqa: PLR2004  # successful, as RFC 9110 §15.3 has it
            retry_after = response.headers.get("Retry-After", "")
            raise RefusedError(response.status, float(retry_after) if retry_after.isdecimal() else 0)
        try:
            return json.loads(content) if content else None
        except ValueError:
            raise HTTPException("an answer that is not the API's") from None

    def close(self) -> None:
        """Until the next call."""
        self._connection.close()
