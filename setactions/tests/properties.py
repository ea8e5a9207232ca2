"""Inputs that hypothesis makes up, the same ones in every run, and what becomes of them."""

from hypothesis import settings
from hypothesis import strategies as st

from setactions.refusal import Refusal

# Derandomized: a run repeats, and what fails fails for everybody. No deadline: the machine may be busy.
often = settings(max_examples=200, derandomize=True, deadline=None, database=None)
very_often = settings(often, max_examples=600)
SEPARATORS = ",;\t\r\n "
NASTY = "\0\x1b\x7f\x85\u00a0\u00ad\u200b\u2028\u202e\ud800\ue000\ufeff\uffff"
texts = st.text(st.one_of(st.sampled_from(SEPARATORS + NASTY + "'\"=+-@＝abcA1"), st.characters()), max_size=60)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


def outcome_of(function):
    """What `function` returns, and the refusal that it raises in its place."""
    try:
        return function(), None
    except Refusal as refusal:
        return None, refusal
