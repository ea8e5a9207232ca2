"""Limits that hold for all hosts together: two real servers, which share databases on PostgreSQL and no file."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from setactions.devtools.proofs.clients import MAIN
from setactions.devtools.proofs.site import PASSWORD, USER, Server, Site, new_session
from setactions.devtools.simulator import Simulator
from setactions.limits import REFUSALS_PER_MINUTE_WITHOUT_PERMISSION
from setactions.management.commands.prove import SERVER
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.postgresql
OPTIONS = {"TMS_MAX_IN_FLIGHT": 2, "WEB_WORKERS": 1, "TMS_DEADLINE_S": 60, "TMS_OPEN_AFTER_S": 120}


class Operator:
    """Somebody who is signed in at a server."""

    def __init__(self, server):
        self.url, self.session = server.url, new_session()
        self.session.get(f"{self.url}/login/")
        assert self._post("/login/", data={"username": USER, "password": PASSWORD}).status_code == 302

    def send(self, tms, token=TOKEN):
        """Send an action for a customer of its own; return the code and the answer."""
        data = {"action": "PE-Enable", "cids": [uuid.uuid4().hex]}
        body = {"url": f"{tms.url}/tms/v1/set/action", "token": token, "isPost": True, "postData": data}
        answer = self._post("/proxy_fetch", json=body)
        return answer.status_code, answer.text

    def _post(self, path, **content):
        headers = {"X-CSRFToken": self.session.cookies.get("csrftoken") or ""}
        return self.session.post(self.url + path, headers=headers, timeout=120, allow_redirects=False, **content)


def codes(answers):
    return [code for code, _ in answers]


def test_calls_and_refusals_of_two_servers_are_counted_together(tmp_path):
    with Simulator() as tms, Site(tmp_path, {MAIN: tms.url}, os.environ[SERVER], **OPTIONS) as site:
        site.set_up()
        servers = [Server(site, 1), Server(site, 2, **site.new_host())]
        for server in servers:
            server.wait_until_healthy()
        both = [Operator(server) for server in servers]
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(operator.send, tms, "fault:slow:50") for operator in both]
            try:
                tms.wait_for(lambda calls: len(calls) == 2)
                refused = [operator.send(tms) for operator in both]
            finally:
                tms.release()
            answers = [future.result() for future in running]
        assert codes(answers) == [200, 200], answers
        assert codes(refused) == [503, 503], refused
        assert all("too many calls are in flight" in text for _, text in refused)
        assert codes([operator.send(tms) for operator in both]) == [200, 200]
        assert len(tms.calls()) == 4

        with psycopg.connect(site._databases.urls["DATABASE_URL"]) as session:
            session.execute("UPDATE auth_user SET is_superuser = false")
        left = REFUSALS_PER_MINUTE_WITHOUT_PERMISSION - 2  # after those above
        assert codes([operator.send(tms) for operator in [*both] * (left // 2)]) == [403] * left
        assert codes([operator.send(tms) for operator in both]) == [429, 429]
