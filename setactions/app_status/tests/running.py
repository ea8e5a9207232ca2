"""What tests of app status runs share besides their fixtures."""

from django.db import connections

from jobs.app_status.selectors import summary_of
from jobs.models import AppRun

READS = "/tms/v1/get/appstatus"


def now(run):
    """The run as it is in the database."""
    try:
        return AppRun.objects.get(pk=run.pk)
    finally:
        connections.close_all()


def counts(run):
    """How many customers of a run are in which condition, without those of whom there are none."""
    return {share.code: share.count for share in summary_of(run).shares if share.count}


def reads(tms):
    """The customers whose apps TMS was asked for, in order."""
    return [call.cids[0] for call in tms.calls() if call.path == READS]
