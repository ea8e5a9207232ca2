"""The pictures of README and docs are taken of the product as it is."""

import re

import pytest
from django.conf import settings

from setactions.devtools import screenshots
from tmsdash.tests.tools import free_ports

TAKEN = re.compile(r"screenshots/([\w-]+\.png)")


@pytest.mark.chromium
def test_every_picture_that_is_shown_is_one_of_those_taken(tmp_path, monkeypatch, browser):
    monkeypatch.setattr(screenshots, "JOBS", 20)
    monkeypatch.setenv("TMS_PORT", str(free_ports(1)[0]))
    first = screenshots.PICTURES[0]  # of a site of its own; the others only take longer
    screenshots.take_all(browser, tmp_path, sizes={1280: 800}, themes=["light"], last=first)
    assert [file.name for file in tmp_path.iterdir()] == [f"{first}.png"]
    taken = {f"{name}.png" for name in screenshots.PICTURES}
    docs = [settings.BASE_DIR / "README.md", *(settings.BASE_DIR / "docs").glob("*.md")]
    shown = {name for file in docs for name in TAKEN.findall(file.read_text(encoding="utf-8"))}
    assert {re.sub(r"(-390)?(-dark)?\.png", ".png", name) for name in shown} == taken
    assert shown <= {file.name for file in screenshots.FOLDER.iterdir()}


@pytest.mark.pages
def test_without_chromium_one_sentence_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(screenshots.startup, "begin", lambda name: None)
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="^Screenshots need Chromium"):
        screenshots.main()
