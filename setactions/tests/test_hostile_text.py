"""Hostile text from every side: shown as it is or escaped, and never acting, on pages, in CSV files and in the log."""

import csv
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unicodedata import normalize
from urllib.parse import quote

import pytest

from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.inputs.csv_table import as_text, read_list
from setactions.inputs.shapes import shape_of
from setactions.pages.tests.test_new_action import hidden_fields, press
from setactions.tests.hostile import (  # noqa: F401 (the fixtures)
    as_id,
    assert_same_elements,
    chunks,
    controls_in,
    hostile_client,
    taken_apart,
    written_log,
)
from setactions.tests.hostile_texts import HOSTILE_TEXTS
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.text import printable

pytestmark = pytest.mark.pages
IDS = tuple(dict.fromkeys(filter(None, map(as_id, HOSTILE_TEXTS))))
CALCULATED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LISTS = (
    "/",
    "/jobs/",
    "/jobs/?whose=all",
    "/admin/",
    "/admin/jobs/job/",
    "/admin/audit/attempt/",
    "/admin/audit/auditentry/",
)

LISTS_OF_USERS = LISTS[2:3] + LISTS[4:]


# Harmless texts of the shapes that the hostile ones have; each is to be told from others by its name.
TWINS = ("harmless-{}", "=harmless-{}", "harmless-{}.", "harmless|{}", "harmless\\{}")


def twin(name, text):
    """A harmless text that is warned about in the same way as `text`."""
    twins = {shape_of(harmless.format("x")): harmless for harmless in TWINS}
    return twins[shape_of(text)].format(name) if shape_of(text) in twins else "?" * (5 + name.startswith("two"))


def shapes_of_lists(client, paths=LISTS):
    return {path: taken_apart(client.get(path)).counted for path in paths}


def assert_same_growth(before, between, after):
    """What is hostile added to the lists the elements that harmless rows added, and no others."""
    for path in before:
        assert after[path] - between[path] == between[path] - before[path], path
        assert between[path] - after[path] == before[path] - between[path], path


# -- Customer ids -------------------------------------------------------------------------------------------------


def fill_in(client, cids, token=TOKEN, **changes):
    data = {"cluster": "evian3", "action": "PE-Enable", "token": token, "cids": as_text(cids), "allow_unusual": "1"}
    return client.post("/review/", data | changes, follow=True)


def send(client, cids, token=TOKEN):
    """Send a list by the form; returns the attempt."""
    fields = hidden_fields(fill_in(client, cids, token)) | {"send_again": "1"}
    return Attempt.objects.get(attempt_id=press(client, "send/", fields).url.split("/")[2])


def pages_of_ids(client, cids):
    """Every page on which ids are shown, and those of them on which all of `cids` must be seen."""
    review = fill_in(client, cids)
    accepted, unknown = send(client, cids), send(client, cids, "fault:reset-after")
    rejected = send(client, cids, "fault:unknown-ids:10")
    job, entry = (
        Job.objects.get(job_id=accepted.attempt_id),
        AuditEntry.objects.get(attempt_id=rejected.attempt_id, kind="REJECTED"),
    )
    place = f"/attempts/{rejected.attempt_id}/"
    pages = {
        "review": review,
        "review of a duplicate": fill_in(client, cids),
        "accepted": client.get(f"/attempts/{accepted.attempt_id}/"),
        "unknown": client.get(f"/attempts/{unknown.attempt_id}/"),
        "rejected": client.get(place),
        "job": client.get(f"/jobs/{job.job_id}/"),
        "admin: job": client.get(f"/admin/jobs/job/{job.pk}/change/"),
        "admin: customers": client.get(f"/admin/jobs/jobcustomer/?job__id__exact={job.pk}"),
        "form with an error": fill_in(client, [*cids, "a b"]),
        "form again": press(client, "edit/", hidden_fields(review)),
        "repaired": client.post(f"{place}repair/", follow=True),
        "checked": client.post(f"/attempts/{unknown.attempt_id}/check/", {"token": TOKEN}),
        "admin: attempt": client.get(f"/admin/audit/attempt/{rejected.pk}/change/"),
        "admin: entry": client.get(f"/admin/audit/auditentry/{entry.pk}/change/"),
    }
    Attempt.objects.update(is_open=False)  # the next list shall meet no reminder of this one
    return {name: taken_apart(page, 200, 400, 409) for name, page in pages.items()}, rejected


SHOW_ALL = ("review", "review of a duplicate", "accepted", "unknown", "rejected", "job", "admin: customers")


@pytest.mark.parametrize("cids", chunks(IDS, 20))
def test_ids_are_inert_on_every_page_and_in_every_file(client, tms, settings, cids):
    settings.TMS_OPEN_AFTER_S = 0
    first, second = ([twin(f"{word}-{number}", cid) for number, cid in enumerate(cids)] for word in ("one", "two"))
    pages_of_ids(client, first)  # the first rows of a list bring headings with them
    before = shapes_of_lists(client)
    harmless, _ = pages_of_ids(client, second)
    between = shapes_of_lists(client)
    hostile, rejected = pages_of_ids(client, cids)
    assert_same_growth(before, between, shapes_of_lists(client))
    assert_same_elements(hostile, harmless)
    for name in SHOW_ALL:
        assert [cid for cid in cids if cid not in hostile[name].text] == [], name
    assert as_text([*cids, "a b"]) in "".join(hostile["form with an error"].fields)
    assert tms.calls()[-1].method == "GET"
    assert any(call.cids == tuple(cids) for call in tms.calls())
    for which, part in (("unknown", cids[:10]), ("known", cids[10:])):
        file = client.get(f"/attempts/{rejected.attempt_id}/{which}.csv")
        if part:
            cells = [row[0] for row in csv.reader(io.StringIO(file.content.decode(), newline=""))]
            assert [cell for cell in cells if cell.startswith(CALCULATED)] == []
            assert read_list(file.content, allow_unusual=True).cids == tuple(part)
    for cid in cids:
        found = client.get(f"/api/audit/customer/{quote(cid, safe='')}").json()
        assert (found["customer_id"], found["count"]) == (cid, 3)


# -- What TMS says ------------------------------------------------------------------------------------------------


@pytest.fixture
def says(settings):
    """A TMS that answers what it is told, as the cluster evian3."""
    answer = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{server.server_port}"}
        yield answer
        server.shutdown()
        thread.join()


def attempt_after(client, settings, says, **answer):
    """An attempt that TMS answered like this."""
    says.clear()
    says.update(answer)
    body = {
        "url": settings.TMS_CLUSTERS["evian3"] + "/tms/v1/set/action",
        "token": TOKEN,
        "isPost": True,
        "sendAgain": True,
        "postData": {"action": "PE-Enable", "cids": ["z9"]},
    }
    told = client.post("/proxy_fetch", body, content_type="application/json")
    return Attempt.objects.get(attempt_id=told.json()["attempt_id"])


def kept(text):
    """What the database holds of TMS's text."""
    return text.replace("\0", "\ufffd")


def test_what_tms_says_is_inert_on_the_page_of_the_attempt(client, says, settings):
    def page_of(message):
        attempt = attempt_after(client, settings, says, success=False, message=message)
        assert controls_in(attempt.error_message) == []
        return taken_apart(client.get(f"/attempts/{attempt.attempt_id}/"))

    harmless = page_of("No.")
    for message in HOSTILE_TEXTS:
        page = page_of(message)
        assert page.elements == harmless.elements, message
        assert printable(kept(message)).strip() in page.text


def test_what_tms_says_is_inert_in_jobs_and_in_the_admin(client, says, settings):
    def pages_of(texts):
        answer = {"message": texts[0], "more": {text: text for text in texts}}
        accepted = attempt_after(client, settings, says, success=True, **answer)
        rejected = attempt_after(client, settings, says, success=False, **answer)
        job = Job.objects.get(job_id=accepted.attempt_id)
        entries = [
            AuditEntry.objects.get(attempt_id=a.attempt_id, kind=k)
            for a, k in ((accepted, "ACCEPTED"), (rejected, "REJECTED"))
        ]
        paths = {
            "job": f"/jobs/{job.job_id}/",
            "admin: job": f"/admin/jobs/job/{job.pk}/change/",
            "admin: attempt": f"/admin/audit/attempt/{rejected.pk}/change/",
            "admin: accepted": f"/admin/audit/auditentry/{entries[0].pk}/change/",
            "admin: rejected": f"/admin/audit/auditentry/{entries[1].pk}/change/",
        }
        return {name: taken_apart(client.get(path)) for name, path in paths.items()}

    harmless = pages_of([f"harmless-{number}" for number in range(12)])
    for texts in chunks(HOSTILE_TEXTS, 12):
        pages = pages_of(texts)
        assert_same_elements(pages, harmless)
        for text in texts:
            shown = printable(json.dumps(kept(text), ensure_ascii=False))
            assert all(shown in pages[name].text for name in pages if name != "admin: attempt"), text


# -- Who sends ----------------------------------------------------------------------------------------------------

# As accounts have them; text that cannot be shown is refused when an account is made.
NAMES = tuple(dict.fromkeys(normalize("NFKC", text)[:150] for text in HOSTILE_TEXTS if not controls_in(text)))


@pytest.mark.parametrize("names", chunks(NAMES, 24))
def test_user_names_are_inert(client, names, django_user_model):
    def lists_after(names):
        for name in names:
            make_attempt(user_id=name, cids=["a1"])
            make_job(user_id=name)
        return shapes_of_lists(client, LISTS_OF_USERS)

    def own_page(name):
        return taken_apart(signed_in(django_user_model.objects.create_user(name)).get("/jobs/"))

    before, between = (
        lists_after(["adam", "first"]),
        lists_after([f"harmless-{number}" for number in range(len(names))]),
    )
    assert_same_growth(before, between, lists_after(names))
    harmless = own_page("harmless-0")
    for name in names:
        page = own_page(name)
        assert page.elements == harmless.elements
        assert name in page.text
        assert name in page.values  # the title, where a long name can be read
