"""The page /styles/ has every part, every outcome and every colour, in both themes, without any data."""

import re

import pytest
from django.conf import settings
from django.test import Client

from audit.choices import Outcome
from jobs.models import Batch, BatchChunk
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.pages
PARTS = settings.BASE_DIR / "templates/partials"


@pytest.fixture
def page(databases, audrey):
    """The answer to an auditor, who is staff; nothing was ever asked for."""
    return signed_in(audrey).get("/styles/")


def test_it_is_for_staff_alone(databases, olivia):
    assert signed_in(olivia).get("/styles/").status_code == 403
    assert Client().get("/styles/").status_code == 302


def test_it_shows_every_part(page):
    drawn = {template.name.rpartition("/")[2] for template in page.templates if template.name}
    missing = {part.name for part in PARTS.glob("*.html")} - drawn
    assert missing == {"_admin_nav.html", "_live_part.html"}  # the frame of the admin, and of what goes on


def test_it_shows_every_outcome_and_colour_in_both_themes(page):
    html = page.content.decode()
    light, dark = html.partition('data-theme="dark"')[::2]
    stylesheet = (settings.BASE_DIR / "tmsdash/static/tmsdash.css").read_text()
    colours = re.findall(r"^  (--[a-z-]+): light-dark", stylesheet, re.MULTILINE)
    assert len(colours) > 15
    for theme in (light, dark):
        assert [state for state in (*Outcome, *BatchChunk.State, *Batch.State) if f"status {state}" not in theme] == []
        assert [colour for colour in colours if f'fill="var({colour})"' not in theme] == []


def test_no_two_elements_have_the_same_id_or_landmarks_the_same_name(page):
    html = page.content.decode()
    ids = re.findall(r' id="([^"]+)"', html)
    names = re.findall(r'<(?:nav|section)[^>]* aria-label="([^"]+)"|role="region" aria-label="([^"]+)"', html)
    assert sorted(set(ids)) == sorted(ids)
    assert sorted(set(names)) == sorted(names)
