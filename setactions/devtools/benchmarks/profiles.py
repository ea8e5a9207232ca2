"""Where the time of one Set Action goes: `manage.py bench profile`. A profiler slows Python down: read the shares."""

import cProfile
import logging
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from setactions.devtools.benchmarks.measurement import say, scaled
from setactions.devtools.benchmarks.servers import action_body, new_cids, stub_tms

ACTIONS = 200
CUSTOMERS = 10
WARM_UP = 10
FUNCTIONS_SHOWN = 15
# What part of a name tells whose time it is; the first that fits. Functions written in C have no file: those of
# C_PARTS stand for themselves, and the time of all others is their caller's.
WAITING = "waiting for TMS and for other threads, not counted"
C_PARTS = {
    "statements and commits (sqlite3)": ("sqlite3.", "SQLiteCursorWrapper.execute"),
    WAITING: ("_thread.", "'recv", "'poll", "'connect'", "select."),
}
PARTS = {
    "Django's ORM and its connections": ("django/db/", "django/dispatch", "django/utils/timezone"),
    "HTTP client": ("/requests/", "/urllib3/", "/http/client", "/socket.py", "_socket", "/email/", "idna", "certifi"),
    "logging": ("/logging/", "tmsdash/logs"),
    "JSON, digests, random ids": ("/json/", "strict_json", "_hashlib", "_hmac", "/hmac.py", "/uuid.py", "_json"),
    "threads and locks": ("/threading.py", "_thread.", "concurrent/"),
    "sessions, user, permissions": ("/sessions", "contrib/auth", "/auth/", "axes"),
    "Django's request and answer": ("django/",),
    "audit": ("/audit/",),
    "jobs": ("/jobs/",),
    "setactions": ("/setactions/",),
    "tmsdash": ("/tmsdash/",),
}


def profile() -> bool:
    """Print the shares of the time of all threads, for Set Actions of ten customers through the endpoint."""
    logging.getLogger().handlers = [logging.FileHandler(Path(settings.VAR_DIR) / "log")]
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    profiles: list[cProfile.Profile] = []

    def begin(*_: object) -> None:
        profiles.append(cProfile.Profile())
        profiles[-1].enable()

    with stub_tms(0) as tms:
        settings.TMS_CLUSTERS = {"bench": tms}
        _act(client, tms, WARM_UP)
        threading.setprofile(begin)  # for threads that begin from now on
        begin()
        count = scaled(ACTIONS)
        try:
            _act(client, tms, count)
        finally:
            profiles[0].disable()
            threading.setprofile(None)
    _report([entry for profiler in profiles for entry in profiler.getstats()], count)
    return True


def _act(client: Client, tms: str, count: int) -> None:
    for _ in range(count):
        answer = client.post("/proxy_fetch", action_body(tms, new_cids(CUSTOMERS)), content_type="application/json")
        if answer.json()["outcome"] != "accepted":
            raise RuntimeError(answer.content)


def _report(entries: list[Any], count: int) -> None:
    parts: defaultdict[str, float] = defaultdict(float)
    functions: defaultdict[str, float] = defaultdict(float)

    def add(name: str, seconds: float, caller: str) -> None:
        part = _part(name, C_PARTS) or _part(caller, PARTS) or "other"
        parts[part] += seconds / count * 1000
        functions[name] += seconds / count * 1000

    for entry in entries:
        if isinstance(entry.code, str):
            continue  # see its callers
        name = _name(entry.code)
        add(name, entry.inlinetime, name)
        for call in entry.calls or ():
            if isinstance(call.code, str):
                add(call.code, call.inlinetime, name)
    total = sum(parts.values()) - parts[WAITING]
    say(f"profile: {total:.1f} ms, the profiler's included, for a Set Action of {CUSTOMERS} customers, of which")
    for words, shares, shown in (("", parts, len(parts)), ("in ", functions, FUNCTIONS_SHOWN)):
        for name, own_ms in sorted(shares.items(), key=lambda item: -item[1])[:shown]:
            say(f"profile: {own_ms / total:7.1%} {own_ms:7.2f} ms  {words}{name}")


def _part(name: str, parts: dict[str, tuple[str, ...]]) -> str:
    return next((part for part, words in parts.items() if any(word in name for word in words)), "")


def _name(code: CodeType) -> str:
    path = code.co_filename
    for root in (f"{settings.BASE_DIR}/", "/site-packages/", "/lib/python3"):
        path = path[path.find(root) + len(root) - 1 :] if root in path else path
    return f"{path}:{code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}"
