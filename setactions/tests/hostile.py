"""The judge of hostile text: whether a page or a log shows it as text or lets it act. With fixtures for those tests."""

import io
import logging
import re
import unicodedata
from collections import Counter
from html.parser import HTMLParser

import pytest

from tmsdash.logs import OneLineFormatter
from tmsdash.tests.fixtures import signed_in

_UNUSED_IN_IDS = re.compile(r"[,;]")
URL_ATTRIBUTES = {"href", "src", "action", "formaction", "data", "poster", "xlink:href", "srcdoc"}
OWN_VALUES = {"class", "type", "name", "rel", "method", "enctype", "role", "style", "http-equiv", "target"}


def as_id(text):
    """Return the most hostile customer id that can be made of `text`: of what is forbidden in ids, nothing is left."""
    spaced = _UNUSED_IN_IDS.sub("", text.replace(" ", "/"))
    return "".join(character for character in spaced if unicodedata.category(character)[0] not in "CZ")[:128]


def controls_in(text):
    """Return the characters of `text` that could break a line, colour a terminal or turn the reading direction."""
    return sorted({c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")})


class Page(HTMLParser):
    """A page taken apart: its elements in order, and its text.

    Of an element counts its name, the names of its attributes, and the values that we alone choose.
    """

    def __init__(self, response):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.links = []  # what a click or the browser itself would follow
        self.values = []  # of all attributes
        self.texts = []
        self.fields = []  # texts of text areas, where people mend what they typed
        self._in_field = False
        self.feed(response.content.decode())
        self.close()

    def handle_starttag(self, tag, attributes):
        own = [(name, value if name in OWN_VALUES else "") for name, value in attributes]
        self.elements.append((tag, *own))
        self.links += [value or "" for name, value in attributes if name in URL_ATTRIBUTES]
        self.values += [value or "" for _, value in attributes]
        self._in_field = tag == "textarea"

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}",))
        self._in_field = False

    def handle_data(self, data):
        (self.fields if self._in_field else self.texts).append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", data))

    def handle_decl(self, decl):
        self.elements.append(("declaration", decl))

    def handle_pi(self, data):
        self.elements.append(("instruction", data))

    def unknown_decl(self, data):
        self.elements.append(("unknown", data))

    @property
    def text(self):
        return "".join(self.texts)

    @property
    def counted(self):
        return Counter(self.elements)

    def leads_away(self):
        """The links that do not stay on the site."""
        return [link for link in self.links if not re.fullmatch(r"|[?#].*|/|/[^/\\].*", link, re.DOTALL)]


def chunks(values, size):
    """Cut `values` into parts of `size`; the last one begins early enough to be as long."""
    return [values[min(start, len(values) - size) :][:size] for start in range(0, len(values), size)]


@pytest.fixture(name="log", autouse=True)
def written_log(databases):
    """What is logged meanwhile, as production writes it: each record must be one line of plain characters."""
    lines, records = io.StringIO(), []
    handler = logging.StreamHandler(lines)
    handler.setFormatter(OneLineFormatter("{message} [{levelname} {asctime}]", style="{"))
    handler.addFilter(lambda record: records.append(record) is None)
    loggers = [logging.getLogger(), logging.getLogger("django")]
    for logger in loggers:
        logger.addHandler(handler)
    yield lines
    for logger in loggers:
        logger.removeHandler(handler)
    written = lines.getvalue().split("\n")[:-1]
    assert len([line for line in written if not line.startswith("    | ")]) == len(records)
    assert controls_in(lines.getvalue()) == []


@pytest.fixture(name="client")
def hostile_client(adam):
    """A superuser, who sees every page, with a hostile browser."""
    return signed_in(adam, headers={"User-Agent": "<script>alert(1)</script>\x1b[31m"})


def taken_apart(response, *codes):
    """The page, after a look at what can be said of each page alone."""
    assert response.status_code in (codes or (200,))
    page = Page(response)
    assert page.leads_away() == []
    assert controls_in(page.text) == []
    return page


def assert_same_elements(hostile, harmless):
    """Nothing that is hostile became an element or an attribute anywhere."""
    assert hostile.keys() == harmless.keys()
    different = {name for name in hostile if hostile[name].elements != harmless[name].elements}
    assert different == set()
