"""The vocabulary: what its members have in common, stated once more by hand."""

import pytest
from django.conf import settings

from audit.bodies import outcome_of
from audit.choices import Evidence, Kind, Outcome, OutcomeGroup, Ruling

# Of each outcome: the event behind it, what it counts as, and whether the same list may be sent again.
OUTCOMES = [
    (Outcome.PENDING, Kind.INTENT, "in doubt", OutcomeGroup.UNKNOWN, False),
    (Outcome.ACCEPTED, Kind.ACCEPTED, "accepted", OutcomeGroup.ACCEPTED, False),
    (Outcome.REJECTED, Kind.REJECTED, "harmless", OutcomeGroup.FAILED, True),
    (Outcome.NOT_SENT, Kind.NOT_SENT, "harmless", OutcomeGroup.FAILED, True),
    (Outcome.UNKNOWN, Kind.UNKNOWN, "in doubt", OutcomeGroup.UNKNOWN, False),
    (Outcome.REFUSED, Kind.REFUSED, "harmless", OutcomeGroup.REFUSED, False),
    (Outcome.APPLIED, Kind.APPLIED, "accepted", OutcomeGroup.ACCEPTED, False),
    (Outcome.NOT_APPLIED, Kind.NOT_APPLIED, "not applied", OutcomeGroup.FAILED, True),
    (Outcome.DECIDED_APPLIED, Kind.DECIDED, "accepted", OutcomeGroup.ACCEPTED, False),
    (Outcome.DECIDED_NOT_APPLIED, Kind.DECIDED, "not applied", OutcomeGroup.FAILED, True),
    (Outcome.LEGACY_SUCCESS, Kind.IMPORTED, "legacy", OutcomeGroup.ACCEPTED, False),
    (Outcome.LEGACY_FAILED, Kind.IMPORTED, "legacy", OutcomeGroup.FAILED, False),
    (Outcome.LEGACY_UNKNOWN, Kind.IMPORTED, "legacy", OutcomeGroup.UNKNOWN, False),
]


def test_every_outcome_is_listed_here():
    assert [outcome for outcome, *_ in OUTCOMES] == list(Outcome)


@pytest.mark.parametrize(("outcome", "kind", "word", "group", "is_repeatable"), OUTCOMES)
def test_an_outcome_has_one_place(outcome, kind, word, group, is_repeatable):
    words = {
        "accepted": outcome.is_accepted,
        "in doubt": outcome.is_in_doubt,
        "not applied": outcome.is_not_applied,
        "harmless": outcome.is_harmless,
        "legacy": outcome.is_legacy,
    }
    assert [name for name, holds in words.items() if holds] == [word]
    assert (outcome.kind, outcome.group, outcome.is_repeatable) == (kind, group, is_repeatable)


@pytest.mark.parametrize("kind", Kind)
def test_an_event_leads_to_an_outcome_that_rests_on_it(kind):
    bodies = {
        Kind.DECIDED: [{"ruling": ruling} for ruling in Ruling],
        Kind.IMPORTED: [{"outcome": outcome} for outcome in Outcome if outcome.is_legacy],
    }
    if kind.trust:
        assert all(outcome_of(kind, body).kind == kind for body in bodies.get(kind, [{}]))
    else:
        assert kind == Kind.RECORDED or not kind.needs_attempt
        assert kind.outcome is None


def test_what_tms_said_beats_what_was_read_and_that_beats_what_a_person_decided():
    trusted = [Kind.ACCEPTED, Kind.APPLIED, Kind.DECIDED, Kind.UNKNOWN, Kind.INTENT]
    assert sorted(trusted, key=lambda kind: -kind.trust) == trusted
    assert [evidence.kind for evidence in Evidence] == [Kind.ACCEPTED, Kind.APPLIED, Kind.DECIDED, Kind.IMPORTED]


@pytest.mark.parametrize(
    ("outcome", "evidence"),
    [
        (Outcome.ACCEPTED, Evidence.REPLY),
        (Outcome.APPLIED, Evidence.READ_BACK),
        (Outcome.NOT_APPLIED, Evidence.READ_BACK),
        (Outcome.DECIDED_NOT_APPLIED, Evidence.DECIDED),
        (Outcome.LEGACY_FAILED, Evidence.LEGACY),
        (Outcome.UNKNOWN, None),
    ],
)
def test_an_outcome_names_its_evidence(outcome, evidence):
    assert outcome.evidence is evidence


def test_every_outcome_is_explained_in_whole_sentences_and_the_documentation_has_the_same():
    documented = (settings.BASE_DIR / "docs" / "audit.md").read_text(encoding="utf-8")
    for outcome in Outcome:
        assert f"| {outcome.label} | `{outcome.value}` | {outcome.meaning} | {outcome.next_step} |" in documented
        for words in (outcome.meaning, outcome.next_step):
            assert (words[0].isupper(), words[-1]) == (True, ".")
    labels = [outcome.label for outcome in Outcome]
    assert len({*labels}) == len(labels)
    assert "Unknown" not in labels  # of what?
