"""What of the form comes back and when: the list of a file, the cluster and the action of the last time."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.models import Job
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of
from tmsdash.web.cookies import cookie_name

pytestmark = pytest.mark.pages


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


@pytest.fixture
def back(operator):
    """The form with the list of old.csv, a1 and b2, after Cancel, and its fields."""
    data = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "csv_file": upload("old.csv", "cid\na1\nb2\n")}
    page = press(operator, "edit/", hidden_fields(operator.post("/review/", data, follow=True)))
    text = page.content.decode()
    assert "From the file old.csv" in text_of(page)
    listed = text.partition('name="cids"')[2].partition(">")[2].partition("</textarea>")[0].removeprefix("\n")
    assert listed == "a1\nb2"
    return {name: value for name, value in hidden_fields(page).items() if name.startswith("list_")}


def upload(name, text):
    return SimpleUploadedFile(name, text.encode() if isinstance(text, str) else text)


def sent(operator, review):
    assert review.status_code == 200, text_of(review)
    proceed(operator, review)
    return [*Job.objects.get().customers.order_by("position").values_list("cid", flat=True)]


def test_another_file_replaces_the_text_of_the_one_before(operator, back):
    review = fill_in(operator, **back, cids="a1\r\nb2", csv_file=upload("new.csv", "c3\nd4\n"))
    assert sent(operator, review) == ["c3", "d4"]


def test_the_text_of_a_file_alone_is_sent_as_it_is(operator, back):
    assert sent(operator, fill_in(operator, **back, cids="a1\r\nb2")) == ["a1", "b2"]


def test_a_list_that_was_changed_or_typed_and_a_file_are_never_taken_for_one_another(operator, back, tms):
    for fields in ({**back, "cids": "a1\r\nb2\r\nx9"}, {"cids": "a1"}, {"cids": "a1", "list_name": "old.csv"}):
        page = fill_in(operator, **fields, csv_file=upload("new.csv", "c3\n"))
        assert page.status_code == 400
        assert "Either paste the ids or upload a file, not both." in text_of(page)
    assert tms.calls() == []


def test_a_file_comes_back_as_text_when_something_else_was_wrong(operator, tms):
    wrong = {"cluster": "", "cids": ""}
    page = fill_in(operator, **wrong, csv_file=upload("fleet.csv", "name,customer_id\nx,a1\ny,b2\n"))
    assert page.status_code == 400
    assert "From the file fleet.csv" in text_of(page)
    assert "The list of your file is in the field below." in text_of(page)
    kept = {name: value for name, value in hidden_fields(page).items() if name.startswith("list_")}
    review = fill_in(operator, **kept, cids="name,customer_id\r\nx,a1\r\ny,b2\r\n")
    assert sent(operator, review) == ["a1", "b2"]


@pytest.mark.parametrize("content", [b"PK\x03\x04\xff", f"a1\n{TOKEN}\n"])
def test_no_file_comes_back_that_is_no_text_and_no_token_in_one(operator, tms, content):
    page = fill_in(operator, cids="", csv_file=upload("fleet.csv", content))
    assert page.status_code == 400
    assert TOKEN not in page.content.decode()
    assert ("From the file" in text_of(page)) == isinstance(content, str)


def chosen(client):
    """The cluster and the action that the form shows as chosen."""
    parts = client.get("/").content.decode().split("<select ")[1:3]
    return [part.partition(" selected>")[0].rpartition('value="')[2].partition('"')[0] for part in parts]


def test_the_form_remembers_cluster_and_action_of_its_user_but_no_production_cluster(operator, oscar, tms, settings):
    settings.TMS_CLUSTERS = {**settings.TMS_CLUSTERS, "brooke": "http://127.0.0.1:2"}
    assert chosen(operator) == ["", ""]
    fill_in(operator, cluster="brooke", action="T-Enable")
    cookie = operator.cookies[cookie_name("last_use")]
    assert (cookie["httponly"], cookie["samesite"], TOKEN in cookie.value) == (True, "Strict", False)
    assert cookie.value.isprintable()  # newer Pythons refuse others
    assert chosen(operator) == ["brooke", "T-Enable"]
    settings.TMS_PRODUCTION_CLUSTERS = ["brooke"]
    assert chosen(operator) == ["", "T-Enable"]
    fill_in(operator, cluster="brooke", action="PE-Direct")
    settings.TMS_PRODUCTION_CLUSTERS = []
    assert chosen(operator) == ["", "PE-Direct"]
    others = signed_in(oscar)
    others.cookies[cookie_name("last_use")] = operator.cookies[cookie_name("last_use")].value
    assert chosen(others) == ["", ""]
