"""Apprise's plugins, and the one way to the network that they have here.

The plugins that Planner uses (`planner_common.services`) do HTTP by a module they know as `requests`. Once they are
loaded, what stands under that name in them is an object of ours: it hands every request to `planner_worker.outbound`,
which looks at the address, and knows neither redirects nor proxies, nor timeouts and certificates as a URL would like
them. A plugin that uses it outside of a `Call` fails. Attachments, which could be files of this machine and are also
how plugins take templates and keys, cannot be made at all.
"""

import io
import logging
import sys
import threading
from functools import lru_cache, partialmethod
from typing import Any

import apprise
import requests
import urllib3
from apprise.manager_plugins import NotificationManager
from planner_common.services import SERVICES
from requests.adapters import HTTPAdapter

from planner_worker.channels.calls import CALL
from planner_worker.channels.plain import Text
from planner_worker.connecting import RefusedError, UnreachableError
from planner_worker.outbound import UnansweredError


class Adapter(HTTPAdapter):
    """From what requests asks to what it wants to hear, by way of the call that this thread is in."""

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        content = request.body or b""
        if not isinstance(content, str | bytes):
            raise requests.exceptions.InvalidSchema("only text and bytes can be sent")
        content = content.encode() if isinstance(content, str) else content
        headers = {name: str(value) for name, value in _decoded(request.headers).items()}
        try:
            answer = CALL.get().request(request.method or "", request.url or "", headers, content)
        except (RefusedError, UnreachableError, UnansweredError) as error:
            raise requests.ConnectionError(str(error), request=request) from error
        # A body that came compressed stays so: requests would take it apart, however large it becomes.
        kept = [(name, value) for name, value in answer.headers if name.lower() != "content-encoding"]
        response = urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            urllib3.HTTPHeaderDict(kept),
            answer.status,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
        )
        return self.build_response(request, response)


def _decoded(headers: Any) -> dict[str, str]:
    return {
        name.decode("latin-1") if isinstance(name, bytes) else name: (
            value.decode("latin-1") if isinstance(value, bytes) else value
        )
        for name, value in headers.items()
    }


class Requests:
    """What plugins find as `requests`. What is not here does not exist for them."""

    codes = requests.codes
    auth = requests.auth
    exceptions = requests.exceptions
    RequestException = requests.RequestException
    TooManyRedirects = requests.TooManyRedirects
    Response = requests.Response

    PASSED = frozenset({"params", "data", "json", "headers", "cookies", "files", "auth"})
    """What a plugin may say of a request. Times, redirects, certificates and proxies are not its business."""

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            for scheme in ("http://", "https://"):
                session.mount(scheme, Adapter())
            passed = {name: value for name, value in kwargs.items() if name in self.PASSED}
            return session.request(method, url, allow_redirects=False, **passed)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


class Lines(logging.Handler):
    """Gives what a plugin logs to the call it is in. It would name addresses, so it goes nowhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        if (call := CALL.get(None)) is not None:
            call.lines.append(record.getMessage())


_loading = threading.Lock()


def plugins() -> NotificationManager:
    """Apprise's plugins, loaded and guarded. The first time it takes a quarter of a second, and 25 MB for good."""
    with _loading:
        return _plugins()


@lru_cache(maxsize=1)
def _plugins() -> NotificationManager:
    manager = NotificationManager()
    manager.load_modules()
    guarded = Requests()
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.") and getattr(module, "requests", None) is requests:
            module.__dict__["requests"] = guarded
    apprise.AppriseAttachment.instantiate = staticmethod(_nothing)  # type: ignore[method-assign]
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(Lines())
    return manager


def _nothing(*_args: object, **_kwargs: object) -> None:
    """Instead of making an attachment."""


def notify(url: str, service: str, text: Text, planner: str) -> bool:
    """Whether the plugin says that it worked: not if its service cannot use the URL. Raises what the plugin does.

    `planner`: where people reach us.
    """
    parsed = plugins()[service].parse_url(url)
    if not parsed or parsed.get("schema") not in SERVICES:
        return False
    asset = apprise.AppriseAsset(app_id="Planner", app_desc="Planner", app_url=planner)
    # Without its own way with exceptions, which is to log all that the URL says.
    plugin = apprise.Apprise.instantiate(parsed, asset=asset, suppress_exceptions=False)
    if plugin is None:
        return False
    plugin.request_rate_per_sec = 0  # no sleeping between several people: a service that minds says 429
    return bool(plugin.notify(body=text.body, title=text.title, body_format=apprise.NotifyFormat.TEXT))
