"""One user's walk through all pages of an installation.

It begins with every address of the URLs, filled in with what is in the installation, and follows the links, filters
and searches of each page, so that new pages are walked without being named here:

1. Each filter alone, with up to `choices` of its values, each order and each further page that a link leads to, and
   one far behind it.
2. Each two of these together, with `paired` values of each, for those who have the longest lists.

Exports are noted in the audit, as always, and never refused for being too many.
"""

import re
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from itertools import combinations, product
from typing import Any
from unittest.mock import patch

from django.db import connections
from django.http.response import HttpResponseBase
from django.test import Client

from audit import exports
from setactions.devtools.site_walk.links import BEHIND_KEY, CONTINUED, Address, addresses
from tmsdash import rates

HOPS = 30  # from page to page, to one far behind
FAR = "far behind"
FAR_KEY = 10  # it is this part of the first one


@dataclass(frozen=True)
class Sample:
    """What one page took, and its bytes, of a download those of its beginning; or the status of an error."""

    name: str
    cpu_ms: float = 0
    wall_ms: float = 0
    statements: int = 0
    size: int = 0
    error: int = 0


class Walk:
    """One user's way through the site."""

    def __init__(self, visitor: Any, *, choices: int, paired: int, rounds: int) -> None:
        """Sign the visitor in."""
        self._visitor, self._choices, self._rounds = visitor, choices, rounds
        self._paired = paired if visitor.has_longest_lists else 0
        self._client = Client(raise_request_exception=False)
        self._client.force_login(visitor.user)
        self.known: dict[str, Address] = {}
        """The pages by their names, which are the same in every installation."""
        self._pages: set[str] = set()
        self._taken: defaultdict[tuple[str, frozenset[str]], list[Address]] = defaultdict(list)

    def samples(self) -> Iterator[Sample]:
        """Visit everything; yield what each page took, and errors that links lead to."""
        pending = deque((address, False) for address in self._visitor.start() if self._take(address))
        while pending:
            address, is_linked = pending.popleft()
            sample, html = self._measured(address)
            if sample.error >= (400 if is_linked else 500) or not sample.error:
                yield sample
            if html:
                self._pages.add(self._name(address).partition("?")[0])
                leads_to = addresses(html, address, self._visitor.texts, self._visitor.periods)
                pending += [(linked, True) for linked in leads_to if self._take(linked)]
                pending += [(behind, False) for behind in self._far_behind(address, html) if self._take(behind)]
        for pair in self._pairs():
            sample, _ = self._measured(pair)
            if sample.error >= 500 or not sample.error:
                yield sample

    def again(self, name: str) -> Sample:
        """Measure a page once more."""
        return self._measured(self.known[name])[0]

    def _name(self, address: Address) -> str:
        return f"{self._visitor.role} {address.name(self._visitor.labels)}"

    def _take(self, address: Address) -> bool:
        """Tell whether a page is to be visited, and remember it: one for each name, and not more than so many."""
        name, filters = self._name(address), address.filters
        shape = name.partition("?")[0]
        is_continued = any(CONTINUED.fullmatch(part) for part in filters)
        most = 1 + bool(self._paired and is_continued)
        taken = self._taken[shape, filters]
        if name in self.known or len(filters) > most:
            return False
        if filters and len(taken) >= (self._choices if len(filters) == 1 else self._paired**2):
            return False
        self.known[name] = address
        taken.append(address)
        return True

    def _far_behind(self, address: Address, html: str) -> Iterator[Address]:
        """Yield the page far behind one that continues a list, if that is narrowed by nothing else."""
        [name] = address.filters if len(address.filters) == 1 else [""]
        if not CONTINUED.fullmatch(name) or f"{name}={address.query[name]}" in self._visitor.labels:
            return
        far = address
        if BEHIND_KEY.fullmatch(name):
            far = Address(address.path, {name: str(int(address.query[name]) // FAR_KEY)})
        else:
            for _ in range(HOPS):
                if onward := re.search(r'rel="next" href="([^"]+)"', html):
                    far = Address.read(unescape(onward[1]))
                    html = self._client.get(far.url).content.decode()
        self._visitor.labels[f"{name}={far.query[name]}"] = FAR
        yield Address(address.path, {**address.query, **far.query})

    def _pairs(self) -> Iterator[Address]:
        """Yield the addresses of each two filters of a list together."""
        singles: defaultdict[str, list[list[Address]]] = defaultdict(list)
        for (shape, filters), taken in self._taken.items():
            if self._paired and len(filters) == 1 and shape in self._pages:
                last, steps = len(taken) - 1, max(1, self._paired - 1)
                places = {last * step // steps for step in range(self._paired)}  # the first, the last, some between
                singles[shape].append([taken[place] for place in sorted(places)])
        for lists in singles.values():
            for firsts, seconds in combinations(lists, 2):
                for first, second in product(firsts, seconds):
                    pair = Address(first.path, {**first.query, **second.query})
                    if (name := self._name(pair)) not in self.known:
                        self.known[name] = pair
                        yield pair

    def _measured(self, address: Address) -> tuple[Sample, str]:
        """Return what a page took at best, and its text if it is a page of HTML."""
        name, counts = self._name(address), []
        times: list[tuple[float, float]] = []
        for _ in range(self._rounds):
            rates.forget()
            with ExitStack() as stack:
                stack.enter_context(patch.object(exports, "has_exported_too_often", return_value=False))
                counters = [_Counter() for _ in connections]
                for alias, counter in zip(connections, counters, strict=True):
                    stack.enter_context(connections[alias].execute_wrapper(counter))
                cpu, wall = time.process_time(), time.perf_counter()
                answer = self._client.get(address.url)
                content = _begin(answer)
                times.append((time.process_time() - cpu, time.perf_counter() - wall))
            answer.close()
            if answer.status_code != 200:
                return Sample(name, error=answer.status_code), ""
            counts.append(sum(counter.count for counter in counters))
        is_html = answer.headers.get("Content-Type", "").startswith("text/html")
        cpu_ms, wall_ms = (round(min(column) * 1000, 2) for column in zip(*times, strict=True))
        return Sample(name, cpu_ms, wall_ms, min(counts), len(content)), content.decode() if is_html else ""


class _Counter:
    count = 0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


def _begin(answer: HttpResponseBase) -> bytes:
    """Return the whole content, or the beginning of a download."""
    if answer.streaming:
        return next(iter(answer), b"")
    return bytes(answer.content)  # type: ignore[attr-defined]
