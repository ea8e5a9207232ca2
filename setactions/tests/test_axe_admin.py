"""axe-core looks at the admin in the states that a walk of its addresses does not show."""

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import Job, RunbookEntry
from jobs.tests.making import make_job
from tmsdash.models import Banner
from tmsdash.tests.fixtures import signed_in

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]
LISTS = ("jobs/job", "jobs/batch", "jobs/jobcustomer", "jobs/runbookentry", "audit/attempt", "audit/auditentry")
ADDED = ("auth/user", "auth/group", "jobs/runbookentry", "tmsdash/banner")


def test_lists_and_forms(accessible, adam, audrey, tms):
    admin, auditor = signed_in(adam), signed_in(audrey)
    for path in LISTS:
        accessible(auditor.get(f"/admin/{path}/"), "without a row")
        accessible(auditor.get(f"/admin/{path}/?q=nothing"), "with nothing that matches")
    for path in ADDED:
        accessible(admin.post(f"/admin/{path}/add/", {}), "with errors")
        accessible(admin.get(f"/admin/{path}/?q=nothing"), "with nothing that matches")
    for number in range(3):
        make_job(cids=[f"c{number}"], user_id="a-user-with-a-name-that-is-long", indexed=True)
        make_attempt(Kind.REJECTED, cids=[f"d{number}"], message="those CIDs do not exist " * 9)
    for path in ("jobs/job", "audit/attempt", "audit/auditentry"):
        accessible(auditor.get(f"/admin/{path}/?q=c1"), "searched")
    for query in ("user_id=olivia", "action_code__exact=2&since=2020-01-01", "source=batch", "since=x", "p=1"):
        accessible(auditor.get(f"/admin/audit/attempt/?{query}"), "filtered")
        accessible(auditor.get(f"/admin/jobs/job/?{query}"), "filtered")
    accessible(auditor.get("/admin/audit/attempt/?outcome__exact=rejected"), "filtered")
    accessible(auditor.get("/admin/audit/attempt/?outcome=rejected"), "with a filter that there is not", 400)
    accessible(auditor.get(f"/admin/audit/attempt/{Attempt.objects.latest('pk').pk}/change/"), "rejected")
    accessible(auditor.get(f"/admin/jobs/job/{Job.objects.latest('pk').pk}/change/"), "of an auditor")


def test_changes_and_deletions(accessible, adam, oscar):
    admin = signed_in(adam)
    things = {
        "auth/user": oscar,
        "auth/group": Group.objects.create(name="Friends"),
        "jobs/runbookentry": RunbookEntry.objects.create(pattern="is not Ready", meaning="TMS is still starting."),
        "tmsdash/banner": Banner.objects.create(text="Back at ten.", changed_at=timezone.now()),
    }
    for path, thing in things.items():
        accessible(admin.post(f"/admin/{path}/{thing.pk}/change/", {}), "changed, with errors")
        chosen = {"_selected_action": [str(thing.pk)], "action": "delete_selected"}
        accessible(admin.post(f"/admin/{path}/", chosen), "chosen to be deleted")
    accessible(
        admin.post(f"/admin/auth/user/{oscar.pk}/password/", {"password1": "a", "password2": "b"}), "with errors"
    )
    signed_in(oscar)
    accessible(admin.get(f"/admin/auth/user/{oscar.pk}/sessions/"), "with a session")
    chosen = {"_selected_action": [str(oscar.pk)], "action": "end_sessions_of_chosen"}
    accessible(admin.post("/admin/auth/user/", chosen), "sessions ended")
    accessible(admin.post(f"/admin/auth/group/{things['auth/group'].pk}/change/", {"name": "Mates"}), "changed")
    assert User.objects.filter(pk=oscar.pk).exists()
