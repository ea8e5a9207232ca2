"""What answers to get/appstatus say, and that one which is not whole and well formed says nothing."""

import json

import pytest

from jobs.app_status.statuses import App
from setactions.app_status.answers import MAX_APPS, apps_in
from setactions.reads import ReadingFailedError
from setactions.tms.replies import Answer, classify_read
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN


def shown(body):
    return apps_in(classify_read(Answer(sent=True, http_status=200, body=body), Token(TOKEN)))


def app(name="nbi", status="Ready", **more):
    return {"app_name": name, "status": status} | more


MANY = json.dumps([app(f"a{number}") for number in range(MAX_APPS + 1)]).encode()
MALFORMED = [
    [1],
    [app(), {}],
    [app(status=None)],
    [app(name="")],
    [app(name="  ")],
    [app(name="x" * 129)],
    [app(name="a\nb")],
    [app(status="\u202e")],
    [app(reason=5)],
    [app(), app()],
    [app(), app("nbi ")],
]


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"{}", b"[]", b'"Ready"', b"[" * 100_000, MANY])
def test_what_is_no_list_of_apps_says_nothing(body):
    with pytest.raises(ReadingFailedError):
        shown(body)


@pytest.mark.parametrize("value", MALFORMED, ids=json.dumps)
def test_one_malformed_app_takes_all_of_the_answer_away(value):
    with pytest.raises(ReadingFailedError):
        shown(json.dumps(value).encode())


def test_a_key_that_stands_twice_or_an_answer_that_is_cut_off_says_nothing():
    for body in (
        b'[{"app_name": "nbi", "status": "Ready", "status": "Failure"}]',
        b'[{"app_name": "nbi", "status": "Re',
    ):
        with pytest.raises(ReadingFailedError):
            shown(body)


def test_statuses_are_kept_as_spelled_and_names_without_spaces_around_them():
    body = json.dumps([app(" nbi "), app("audit", " ready", reason="late")]).encode()
    assert shown(body) == [App("nbi", "Ready"), App("audit", " ready", "late")]
