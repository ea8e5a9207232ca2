"""The numbers of a run are those of one moment, though it goes on while they are counted."""

import pytest
from django.db import connections

from jobs.app_status import ledger
from jobs.app_status.selectors import next_customer
from jobs.app_status.statuses import App
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")


@pytest.mark.parametrize("address", ["/apps/{run}/", "/apps/{run}/progress/"])
def test_a_customer_who_is_read_while_the_page_counts_is_in_all_numbers_or_none(begin, olivia, address):
    run, runner = begin("a1", "b2")
    runner.give_up()
    read = []

    def read_first(execute, sql, *rest):
        """Read a customer just before apps are counted."""
        if "jobs_appstatus" in sql and "COUNT" in sql and not read:
            read.append("a1")
            ledger.keep_read(next_customer(run), [App("nbi", "Ready")])
        return execute(sql, *rest)

    with connections["jobs"].execute_wrapper(read_first):
        page = signed_in(olivia).get(address.format(run=run.run_id))
    view = page.context["view"]
    assert read == ["a1"]
    assert (page.status_code, view.summary.read) == (200, 1)
    assert [(row.app_name, row.missing) for row in view.matrix] == [("nbi", 0)]
