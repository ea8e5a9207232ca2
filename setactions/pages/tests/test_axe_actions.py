"""axe-core looks at the way from the form to the answer: New action, review and attempt in every state."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt, refuse
from setactions.pages.tests.batch_pages import start, upload
from setactions.pages.tests.test_comparison import compared
from setactions.pages.tests.test_decide_pages import REASON, decide
from setactions.pages.tests.test_get_token import CLIENT
from setactions.pages.tests.test_late_posts import late, sign_in
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed, without_token
from setactions.pages.tests.test_without_databases import failing
from setactions.resolving.tests.doubting import LOST_BEFORE, check, send, tms_does
from tmsdash.tests.fixtures import TOKEN, signed_in

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]
MANY = "\n".join(f"customer-{number:04}" for number in range(60))
ODD = {"cids": f"{MANY}\ncustomer-0001\n7.39E+12\n<b>", "allow_unusual": "1", "note": "CHG-1 & more"}


def test_new_action(accessible, operator, tms, settings, oscar):
    accessible(operator.post("/review/", {"cids": "a b", "note": "x" * 500}), "with errors", 400)
    accessible(fill_in(operator, cids="7.39E+12"), "with damaged ids", 400)
    table = SimpleUploadedFile("customers.csv", b"name,town\nAda,Rome\n")
    accessible(operator.post("/review/", {"csv_file": table}), "with a file that has no ids", 400)
    settings.TMS_PASSIVE = True
    accessible(operator.get("/"), "of a stand-by")
    accessible(fill_in(operator), "reviewed on a stand-by")
    settings.TMS_PASSIVE = False
    settings.TMS_TOKEN_URLS = {"evian3": f"{tms.url}/oauth2/token"}
    accessible(operator.post("/token/", {}), "empty")
    accessible(operator.post("/token/", CLIENT | {"client_secret": ""}), "with an error", 400)
    accessible(operator.post("/token/", CLIENT), "fetched")
    page = upload(operator, ["a1", "b2"])
    accessible(operator.post(f"{page.request['PATH_INFO']}edit/", hidden_fields(page)), "with a file, edited")
    accessible(sign_in(operator, late(operator)), "kept over a sign-in")
    settings.TMS_CLUSTERS = {}
    accessible(operator.get("/"), "without a cluster")
    oscar.groups.clear()
    accessible(signed_in(oscar).get("/"), "of an account that may do nothing")


def test_review(accessible, operator, others, tms, settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    settings.TMS_CONFIRM_ABOVE = 1
    page = fill_in(operator, **ODD)
    accessible(page, "of a long, odd list on a production cluster")
    accessible(proceed(operator, page, confirm="7"), "with the wrong number", 400)
    settings.TMS_PRODUCTION_CLUSTERS, settings.TMS_CONFIRM_ABOVE = [], 1000
    proceed(others, fill_in(others, cids="b,d"))
    for cids in ("a,b,c", "b,d"):
        accessible(page := fill_in(operator, cids=cids), "of customers who were asked for already")
        accessible(proceed(operator, page), "and sent all the same", 409)
    accessible(press(operator, "leave-out/", hidden_fields(fill_in(operator, cids="a,b,c"))), "without them")
    page = fill_in(operator, cids="z")
    without_token(operator)
    accessible(operator.get(page.request["PATH_INFO"]), "that lost its token")
    accessible(proceed(operator, page, token="a b"), "with a token that is none", 400)
    with failing("audit", OperationalError):
        accessible(operator.get(page.request["PATH_INFO"]), "without the audit", 400)


def test_comparison(accessible, operator, others, tms):
    for action, cids in {"Trans-Begin": ["s1"], "PE-Enable": ["n1", "n2"], "T-Enable": ["t1"]}.items():
        tms_does(tms, action, *cids)
    page = compared(operator, fill_in(operator, cids="n1,n2,t1,s1,u1", action="T-Enable"))
    accessible(page, "compared")
    accessible(press(operator, "leave-out-there/", hidden_fields(page)), "without those there")
    accessible(fill_in(operator, cids="n1", action="T-Enable"), "with what is stored")
    proceed(others, fill_in(others, cids="n2"))
    accessible(press(operator, "send/", hidden_fields(page)), "touched since", 409)


def test_comparison_that_fails(accessible, operator, tms):
    page = fill_in(operator, token="fault:http:500")
    accessible(press(operator, "compare/", hidden_fields(page)), "with a reading that failed", 409)


def test_review_of_a_batch(accessible, operator, tms, small_chunks, make_batch):
    accessible(upload(operator), "as a batch")
    make_batch(count=7)
    accessible(page := upload(operator), "as a batch, in an open one")
    accessible(start(operator), "as a batch, sent all the same", 409)
    accessible(press(operator, "leave-out/", hidden_fields(page)), "as a batch, without anybody", 409)


@pytest.fixture
def others(oscar):
    return signed_in(oscar)


FAULTS = ("not-ready", "unknown-ids", "unauthorized", "http:404", "http:500", "extra-accepted")


def test_attempt(accessible, operator, audrey, tms, fetch):
    for fault in FAULTS:
        sent = proceed(
            operator,
            fill_in(operator, token=f"fault:{fault}", cids=f"{MANY}\nof-{fault[-3:]}", note="CHG-1"),
            send_again="1",
        )
        accessible(sent, fault)
    accessible(signed_in(audrey).get(sent.url), "to an auditor")
    accessible(proceed(operator, fill_in(operator, cluster="brooke", cids="z")), "not sent")
    for kinds in ((Kind.ACCEPTED,), (Kind.ACCEPTED, Kind.RECORDED), (Kind.UNKNOWN, Kind.DECIDED), ()):
        attempt = make_attempt(*kinds, cids=[f"c{len(kinds)}", "d"])
        accessible(operator.get(f"/attempts/{attempt.attempt_id}/"), f"after {kinds}")
    refused = refuse(body={"errors": {"cids": ["Line 1: no id.", "Line 2: no id."]}})
    accessible(operator.get(f"/attempts/{refused.attempt_id}/"), "refused")
    accessible(operator.post(f"/attempts/{refused.attempt_id}/edit/", follow=True), "again")


def test_attempt_in_doubt(accessible, operator, adam, tms, fetch, settings):
    young = send(fetch, "y1", token=LOST_BEFORE)
    accessible(operator.get(f"/attempts/{young.attempt_id}/"), "young and in doubt")
    settings.TMS_OPEN_AFTER_S = 0
    attempt = send(fetch, token=LOST_BEFORE)
    accessible(operator.get(f"/attempts/{attempt.attempt_id}/"), "in doubt")
    accessible(check(operator, attempt, token="a b"), "with a token that is none", 400)
    accessible(check(operator, attempt, token="fault:http:500"), "with a reading that failed", 409)
    accessible(check(operator, attempt, token=TOKEN), "checked once")
    tms_does(tms, "PE-Enable", "b2")
    accessible(check(operator, attempt, token=TOKEN), "with a reading that proves nothing")
    decider = signed_in(adam)
    accessible(page := check(decider, attempt, token=TOKEN), "to be decided")
    accessible(decide(decider, attempt, page, reason="short"), "decided without a reason", 400)
    decide(decider, attempt, check(decider, attempt, token=TOKEN))
    accessible(decider.get(f"/attempts/{attempt.attempt_id}/"), REASON)
    gone = make_attempt(Kind.UNKNOWN, cids=["g"])
    for client in (operator, decider):
        accessible(client.get(f"/attempts/{gone.attempt_id}/"), "on a cluster that is gone")
    assert Attempt.objects.filter(is_open=True).exists()
