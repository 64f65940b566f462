"""The services that Planner sends to are those whose plugins reach for nothing but `requests`: their source is read."""

import ast
import importlib.util
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

import pytest
import requests
from planner_common.services import HOSTED, SERVICES
from planner_worker.channels.plugins import Requests, plugins

_HARMLESS = """
    __future__ base64 binascii calendar collections collections.abc contextlib copy dataclasses datetime decimal
    email.header email.mime.application email.mime.multipart email.mime.text email.utils enum functools gzip hashlib
    hmac html html.parser itertools json json.decoder locale logging math operator os.path random re secrets string
    struct textwrap time typing unicodedata urllib.parse uuid xml.sax.saxutils zoneinfo requests requests.auth
    requests_oauthlib
"""
HARMLESS = frozenset(_HARMLESS.split())
"""What a plugin may import: none of these opens a file or a connection."""
_APPRISE = """
    __title__ __version__ attachment.base attachment.memory common conversion exception locale logger plugins.base url
    utils.base64 utils.logic utils.parse utils.sanitize utils.templates utils.xml
"""
APPRISE = frozenset(f"apprise.{name}" for name in _APPRISE.split())
"""Likewise of Apprise's own modules."""

_OPENING = """
    apprise_api custom_form discord fcm mailgun mastodon matrix.base pushbullet ses slack telegram twitter workflows
"""
REVIEWED = {
    # The contents of attachments. There are none: `plugins` lets nobody make one.
    "open()": set(_OPENING.split()),
    "apprise.apprise_attachment": {"discord", "fcm", "onebot", "slack", "telegram", "workflows"},
    # Random numbers, and the last part of a path.
    "os": {"matrix.base", "pushover", "sogs", "telegram"},
    "io": {"mattermost"},
    # One lock, and one note of what a message is about.
    "threading": {"matrix.base"},
    "contextvars": {"matrix.base"},
    # Two functions that look at a URL and read an answer; not the sessions that are there too.
    "apprise.utils.http": {"bluesky", "matrix.base"},
    "apprise.asset": {"fcm"},
    # Cryptography only.
    "nacl.bindings": {"simplepush"},
    "nacl.exceptions": {"simplepush"},
    # Other plugins, which are services here themselves.
    "apprise.plugins.discord": {"guilded", "notifiarr"},
    "apprise.plugins.emby": {"jellyfin"},
}
"""What needed a look, and in which plugins it was found to be harmless."""


@lru_cache(maxsize=1)
def services() -> dict[str, list[str]]:
    """Of each of Apprise's plugins, by its module."""
    found = defaultdict(list)
    manager = plugins()
    for service in manager.schemas():
        found[manager[service].__module__.removeprefix("apprise.plugins.")].append(service)
    return found


def sources(plugin: str) -> list[ModuleType]:
    """The modules that a plugin consists of: one, or those of its folder."""
    module = sys.modules[f"apprise.plugins.{plugin}"]
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    if package == "apprise.plugins":
        return [module]
    return [module for name, module in sys.modules.items() if f"{name}.".startswith(f"{package}.")]


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The modules that a source imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:  # which may be modules themselves
                yield name if (name := f"{base}.{alias.name}") in sys.modules or node.module is None else base


def reached_for(plugin: str) -> set[str]:
    """What there is in a plugin that is not harmless in itself."""
    found = set()
    own = tuple(f"{module.__name__}." for module in sources(plugin))
    for module in sources(plugin):
        tree = ast.parse(inspect.getsource(module))
        names = imported(tree, module.__package__ or "")
        found |= {name for name in names if not f"{name}.".startswith(("cryptography.", *own))}
        calls = (
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        )
        found |= {f"{name}()" for name in calls if name in {"open", "exec", "eval", "compile", "__import__"}}
    return found - HARMLESS - APPRISE


def used_of_requests(plugin: str) -> set[str]:
    """What a plugin wants of `requests`."""
    trees = [ast.parse(inspect.getsource(module)) for module in sources(plugin)]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "requests"
    }


def test_services_are_those_whose_plugins_reach_for_nothing_else() -> None:
    """After an upgrade of Apprise this names what is new, or does something new. Read it, then list it or leave it."""
    fit = set()
    for plugin, names in services().items():
        left = {name for name in reached_for(plugin) if plugin not in REVIEWED.get(name, ())}
        if not left and "http" not in names:
            fit |= set(names)
    assert fit == SERVICES


def test_nothing_was_reviewed_that_is_not_there() -> None:
    found = {(name, plugin) for plugin in services() for name in reached_for(plugin)}
    assert {(name, plugin) for name, among in REVIEWED.items() for plugin in among} <= found


@pytest.mark.parametrize("service", ["mailto", "mqtt", "irc", "xmpp", "syslog", "dbus", "windows", "macosx", "nostr"])
def test_what_opens_connections_of_its_own_is_no_service(service: str) -> None:
    assert service in plugins().schemas()
    assert service not in SERVICES


def test_hosted_are_the_services_whose_url_can_name_a_host() -> None:
    manager = plugins()
    assert {name for name in SERVICES if any("{host}" in template for template in manager[name].templates)} == HOSTED


def test_plugins_find_our_requests_and_all_that_they_want_of_it() -> None:
    ours = Requests()
    for plugin, names in services().items():
        if set(names) <= SERVICES:
            for module in sources(plugin):
                assert getattr(module, "requests", ours).__class__ is Requests, module.__name__
            assert {name for name in used_of_requests(plugin) if not hasattr(ours, name)} == set(), plugin


def test_nobody_in_apprise_has_the_real_requests() -> None:
    plugins()
    having = {name for name, module in sys.modules.items() if getattr(module, "requests", None) is requests}
    assert not {name for name in having if name.startswith("apprise")}
