"""The colours of the stylesheet: the states of bars and what stands on a tone can be told apart in both themes."""

import re

import pytest

from tmsdash.settings import BASE_DIR

STYLES = (BASE_DIR / "tmsdash" / "static" / "tmsdash.css").read_text()
THEMES = ("light", "dark")
OF_A_TOKEN = re.compile(r"^  (--[a-z-]+): (?:light-dark\((#\w+), (#\w+)\)|(#\w+));", re.MULTILINE)
TOKENS = {name: (light or both, dark or both) for name, light, dark, both in OF_A_TOKEN.findall(STYLES)}
STATES = dict(re.findall(r"^(\.(?:state|app)-[^{]+) \{ --state: (.+); \}$", STYLES, re.MULTILINE))  # selectors: colour
ON_EACH_OTHER = [  # text, ground, the least contrast
    ("--on-fill", "--alarm", 4.5),
    ("--on-fill", "--fill", 4.5),
    ("--bad", "--bad-ground", 4.5),
    ("--unsure", "--unsure-ground", 4.5),
    ("--info", "--info-ground", 4.5),
    ("--green", "--good-ground", 4.5),
    ("--neutral", "--neutral-ground", 4.5),
    ("--quiet", "--ground", 4.5),
    ("--edge", "--surface", 3),
]


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other, theme):
    """Return the contrast of two tokens, as WCAG counts it."""
    place = THEMES.index(theme)
    darker, lighter = sorted(luminance(TOKENS[token][place]) for token in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_each_state_of_a_bar_can_be_seen_on_its_surface(theme):
    assert len(STATES) == STYLES.count("--state: ") > 15
    tokens = {css: colour.removeprefix("var(").removesuffix(")") for css, colour in STATES.items()}
    faint = {css: contrast(token, "--surface", theme) for css, token in tokens.items()}
    assert {css: value for css, value in faint.items() if value < 3} == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("text", "ground", "least"), ON_EACH_OTHER)
def test_text_can_be_read_on_its_ground(theme, text, ground, least):
    assert contrast(text, ground, theme) >= least
