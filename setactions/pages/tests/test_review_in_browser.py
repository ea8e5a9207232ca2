"""The review page in a real browser: what its buttons send, and what keeps them from it."""

import re

import pytest

from setactions.pages.tests.test_new_action import fill_in, proceed
from tmsdash.tests.fixtures import signed_in
from tmsdash.web.tests.test_script import results

pytestmark = pytest.mark.chromium
PRESS = """(() => {
  const pressed = [];
  const form = document.querySelector("form");
  form.addEventListener("submit", event => {
    event.preventDefault();
    const fields = new FormData(form, event.submitter);
    const address = event.submitter.getAttribute("formaction") ?? form.getAttribute("action");
    pressed.push([address, fields.get("send_again"), fields.get("confirm")]);
  });
  const press = name => [...form.querySelectorAll("button")].find(one => one.textContent.includes(name)).click();
  press("Yes, Proceed");
  press("Leave this one out");
  form.confirm.value = "2";
  press("Yes, Proceed");
  form.send_again.click();
  press("Yes, Proceed");
  press("Cancel");
  return pressed;
})()"""


def test_the_browser_asks_for_number_and_tick_before_it_sends_and_for_neither_to_leave_out(
    olivia, oscar, tms, settings, tmp_path
):
    settings.TMS_CONFIRM_ABOVE = 2
    others = signed_in(oscar)
    proceed(others, fill_in(others, cids="b"))
    page = fill_in(signed_in(olivia), cids="a,b").content.decode()
    form = re.search(r'<form method="post" action="/send/">.*?</form>', page, re.DOTALL)[0]
    assert results(tmp_path, PRESS, form) == [
        ["/leave-out/", None, ""],
        ["/send/", "1", "2"],
        ["/edit/", "1", "2"],
    ]
