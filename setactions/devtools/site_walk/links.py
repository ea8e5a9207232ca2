"""Where a page leads: its links, and the addresses that the fields of its filters and searches make."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

DAYS = ("since", "until")  # of a period, so one filter
SCOPES = {"whose"}  # say whose rows a list is about, and narrow it by nothing
WAY_BACK = "_changelist_filters"  # only says from which list somebody came
BEHIND_KEY = re.compile(r"\w+__[lg]t")  # parameters that continue a list behind a key, whether or not it has that row
CONTINUED = re.compile(rf"{BEHIND_KEY.pattern}|before|p|page")
KEYS = re.compile(rf"{BEHIND_KEY.pattern}|before|\w+__id__exact")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")
ANY = "…"


@dataclass(frozen=True)
class Address:
    """A path and the parameters of its query, none of which occurs twice."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, url: str) -> "Address":
        parts = urlsplit(url)
        return cls(parts.path, {name: value for name, value in parse_qsl(parts.query) if name != WAY_BACK})

    @property
    def url(self) -> str:
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")

    @property
    def filters(self) -> frozenset[str]:
        """What narrows, sorts or continues a list, by the names of the parameters; both days of a period are one."""
        return frozenset("days" if name in DAYS else name for name in self.query if name not in SCOPES)

    def name(self, labels: Mapping[str, str]) -> str:
        """Return the address with labels in place of values that differ from one installation to another.

        `labels` belong to values, or to a parameter with its value, such as "before=17".
        """
        path = "/".join(
            labels.get(part, ANY if part.isdecimal() else ID.sub(ANY, part)) for part in self.path.split("/")
        )
        query = "&".join(f"{name}={_shown(name, self.query[name], labels)}" for name in sorted(self.query))
        return f"{path}?{query}" if query else path


def _shown(name: str, value: str, labels: Mapping[str, str]) -> str:
    plain = ANY if KEYS.fullmatch(name) else ID.sub(ANY, value)
    return labels.get(f"{name}={value}", labels.get(value, plain))


class _Reader(HTMLParser):
    """Collects the links of a page, and of each form that only asks its target and the values of its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self._fields: dict[str, list[str]] | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        name = values.get("name", "")
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "form" and values.get("method", "get").lower() == "get":
            self._fields = {}
            self.forms.append((values.get("action", ""), self._fields))
        elif tag == "select" and self._fields is not None:
            self._select = name
            self._fields[name] = []
        elif tag == "option" and self._fields is not None:
            # The chosen one is first, as the value of any other field is.
            place = 0 if "selected" in values else len(self._fields[self._select])
            self._fields[self._select].insert(place, values.get("value", ""))
        elif tag == "input" and name and self._fields is not None:
            self._fields[name] = [values.get("value", "")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None


def addresses(
    html: str, own: Address, texts: Mapping[str, Sequence[str]], periods: Sequence[tuple[str, str]]
) -> Iterator[Address]:
    """Yield where the page at `own` leads within the site: its links, and its forms with one field changed each.

    `texts` are what is written into fields without choices, by their names; `periods` are pairs of days.
    """
    reader = _Reader()
    reader.feed(html)
    for link in reader.links:
        if link.startswith(("/", "?")):
            yield Address.read(urljoin(own.url, link))
    for target, fields in reader.forms:
        path = urlsplit(urljoin(own.path, target)).path
        given = {name: values[0] for name, values in fields.items() if values and values[0]}
        undated = {name: value for name, value in given.items() if name not in DAYS}
        for name, values in fields.items():
            for value in (*values[1:], *texts.get(name, ())):
                if value:
                    yield Address(path, given | {name: value})
        if {*DAYS} <= fields.keys():
            for days in periods:
                yield Address(path, undated | {name: day for name, day in zip(DAYS, days, strict=True) if day})
