"""The parts of pages: badges, heads, tables, errors and empty lists."""

import re

import pytest
from django.template import engines
from django.utils.safestring import SafeString

from tmsdash.web.parts import badge

pytestmark = pytest.mark.pages


def drawn(source: str, **values: object) -> str:
    """Return what a template makes of `values`, on one line."""
    return " ".join(engines["django"].from_string(source).render(values).split())


def test_a_badge_escapes_what_is_not_safe_and_says_the_same_in_a_template():
    words, title = "<b>Rejected</b>", 'TMS said "no"'
    shown = badge("rejected", words, title)

    assert shown == ('<span class="status rejected" title="TMS said &quot;no&quot;">&lt;b&gt;Rejected&lt;/b&gt;</span>')
    assert drawn("{% badge 'rejected' words title %}", words=words, title=title) == shown
    assert badge("done", SafeString("<b>1</b>")) == '<span class="status done"><b>1</b></span>'


def test_a_table_leaves_out_columns_without_words_and_escapes_its_caption():
    table = "{% table caption 'Time' 'Customers:number' user 'End:visually-hidden' %}<tbody></tbody>{% endtable %}"
    shown = drawn(table, caption="<Jobs>", user="")

    assert re.findall(r"<th [^>]*>", shown) == [
        '<th scope="col">',
        '<th scope="col" class="number">',
        '<th scope="col">',
    ]
    assert '<span class="visually-hidden">End</span>' in shown
    assert 'role="region" aria-label="&lt;Jobs&gt;" tabindex="0"' in shown
