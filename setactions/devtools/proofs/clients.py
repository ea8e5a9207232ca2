"""The load: clients that submit Set Actions of every kind, insist on each key, and remember what they were shown."""

import re
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import requests

from setactions.devtools.proofs.evidence import NO, YES, Shown
from setactions.devtools.proofs.load import LoadThread
from setactions.devtools.proofs.site import PASSWORD, USER, ProofError, new_session

TIMEOUT_S = 120.0  # a server that lives answers long before, on a busy machine, too
PAUSE_S = 0.1  # after a broken connection or "still running"; there is no event to wait for
ASK_AGAIN = 20  # how often a client asks for the outcome of what is still running
MAIN, UNREACHABLE = "main", "unreachable"  # the clusters
# The spellings of TMS's actions, in the order in which a customer goes through them.
ACTIONS = (("Trans-Begin", "Tran-Begin"), ("PE-Enable", "pe-enable"), ("T-Enable",), ("PE-Finalize",), ("PE-Direct",))
FAULTS = {
    "a-token-that-works": 100,
    "fault:not-ready": 6,
    "fault:unauthorized": 3,
    "fault:unknown-ids": 2,
    "fault:reset-after": 5,
    "fault:reset-before": 5,
    "fault:close-after": 2,
    "fault:half-body": 3,
    "fault:broken-json": 2,
    "fault:http-applied:500": 4,
    "fault:http:503": 4,
    "fault:http:404": 1,
    "fault:created": 3,
    "fault:slow:0.3": 6,
    "fault:slow:4": 1,  # applied when the dashboard has long given up, though not before reconcile may judge
    "fault:timeout:3": 1,
    "fault:timeout-applied:3": 1,
}
PENDING = "pending"


class Order(NamedTuple):
    """What a client wants: an action, as it spells it, for customers of a cluster, or to `send_again` to them."""

    cluster: str
    action: str
    cids: list[str]
    send_again: bool = False


class Client(LoadThread):
    """One operator with two hands, so that they can do two things at once. Runs until `over` is set."""

    def __init__(
        self,
        seed: str,
        sites: Sequence[str],
        clusters: dict[str, str],
        common_cids: Sequence[str],
        over: threading.Event,
    ) -> None:
        """Prepare a client; `common_cids` are customers that others ask for, too."""
        super().__init__(f"client {seed}", seed, over)
        self.shown: list[Shown] = []
        self.is_signed_in = threading.Event()
        self._sites, self._clusters, self._common_cids = sites, clusters, common_cids
        self._hands = (new_session(), new_session())
        self._cids: list[str] = []
        self._stage = 0

    def work(self) -> None:
        """Sign in, and submit one thing after the other."""
        try:
            self._sign_in()
            self.is_signed_in.set()
            while True:
                self._submit()
        finally:
            self.is_signed_in.set()
            for hand in self._hands:
                hand.close()

    def _sign_in(self) -> None:
        self._request(0, "GET", "/login/")
        self._request(0, "POST", "/login/", data={"username": USER, "password": PASSWORD})
        self._hands[1].cookies.update(self._hands[0].cookies)

    def _submit(self) -> None:
        ways = {self._by_api: 60, self._by_api_twice_at_once: 12, self._by_form: 14, self._by_api_and_again: 5}
        way = self._random.choices([*ways], weights=[*ways.values()])[0]
        way(self._next_order())
        if self.shown and self.shown[-1].outcome not in YES:
            self._cids = []  # the next list is a new one, so that reading back can tell what became of this one

    def _next_order(self) -> Order:
        """Return something new: mostly the next action for customers of this client's own."""
        chance = self._random.random()
        if chance < 0.04:
            return Order(UNREACHABLE, self._random.choice(ACTIONS)[0], self._new_cids(2))
        if chance < 0.08:
            common = self._random.sample(self._common_cids, self._random.randint(1, 2))
            return Order(MAIN, self._random.choice(ACTIONS)[0], self._new_cids(1) + common, send_again=True)
        if not self._cids or self._stage == len(ACTIONS):
            self._cids, self._stage = self._new_cids(self._random.choice([1, 1, 2, 3, 5, 30])), 0
        self._stage += 1
        return Order(MAIN, self._random.choice(ACTIONS[self._stage - 1]), self._cids)

    def _new_cids(self, count: int) -> list[str]:
        return [f"{self._random.getrandbits(96):024x}" for _ in range(count)]

    def _by_api(self, order: Order) -> None:
        site = self._random.randrange(2)
        self._post_action(0, site, self._new_key(), self._choose_token(), order)

    def _by_api_twice_at_once(self, order: Order) -> None:
        key, token = self._new_key(), self._choose_token()
        self._with_both_hands(lambda hand: self._post_action(hand, hand, key, token, order))

    def _by_api_and_again(self, order: Order) -> None:
        """The same list on purpose under new keys; the guard may stop the second, but not the third."""
        self._by_api(order)
        self._by_api(order)
        self._by_api(order._replace(send_again=True))
        self._cids = []

    def _by_form(self, order: Order) -> None:
        """Review, and a double click on the button, whose clicks may reach different servers."""
        name = next(names[0] for names in ACTIONS if order.action in names)
        form = {"cluster": order.cluster, "action": name, "token": self._choose_token(), "cids": "\n".join(order.cids)}
        kept = self._request(0, "POST", "/review/", data=form)
        if kept.status_code != 303:
            self._be_surprised("review", kept)
            return
        address = kept.headers["Location"]
        page = self._request(0, "GET", address)
        shown = re.search(r'name="shown"\s+value="([^"]*)"', page.text)
        if page.status_code != 200 or shown is None:
            self._be_surprised("review", page)
            return
        self.facts["submissions"] += 1
        self._hands[1].cookies.update(self._hands[0].cookies)  # the sealed token
        fields = {"shown": shown[1]} | ({"send_again": "1"} if order.send_again else {})
        self._with_both_hands(lambda hand: self._click(hand, address, fields))

    def _click(self, hand: int, address: str, fields: dict[str, str]) -> None:
        answer = self._request(hand, "POST", f"{address}send/", site=hand, data=fields)
        location = answer.headers.get("Location", "")
        if location == address:
            page = self._request(hand, "GET", address, site=hand)
            if page.status_code == 302:  # the other hand has sent it by now
                location = page.headers["Location"]
            elif page.status_code in (409, 503):  # stopped before anything was sent
                self.facts["refused"] += 1
                return
            else:
                self._be_surprised("send", page)
                return
        elif answer.status_code != 302:
            self._be_surprised("send", answer)
            return

        def look() -> Shown | None:
            page = self._request(hand, "GET", location, site=hand)
            shown = _shown_on(page, location.strip("/").rpartition("/")[2])
            if shown is None:
                self._be_surprised("attempt", page)
            return shown

        self._ask_on(look)

    def _post_action(self, hand: int, site: int, key: str, token: str, order: Order) -> None:
        """Post under one key, on and on, until there is an answer that is more than "still running"."""
        body = {
            "url": f"{self._clusters[order.cluster]}/tms/v1/set/action",
            "token": token,
            "isPost": True,
            "postData": {"action": order.action, "cids": order.cids},
            "sendAgain": order.send_again,
            "confirm": len(order.cids),
        }

        def post() -> Shown | None:
            answer = self._request(hand, "POST", "/proxy_fetch", site=site, json=body, headers={"Idempotency-Key": key})
            shown = _shown_in(answer)
            if shown is None or (shown.outcome != "refused" and shown.attempt_id != key):
                self._be_surprised("proxy_fetch", answer)
                return None
            self.facts["replayed"] += answer.json().get("replayed", False)
            if shown.outcome == "refused":
                self.facts["refused"] += 1
                return None
            return shown

        self._ask_on(post)

    def _ask_on(self, ask: Callable[[], Shown | None]) -> None:
        """Remember what is shown, again and again while that is "still running"; None ends it, too."""
        for _ in range(ASK_AGAIN):
            shown = ask()
            if shown is None:
                return
            self.shown.append(shown)
            if shown.outcome != PENDING:
                return
            self._over.wait(PAUSE_S)

    def _choose_token(self) -> str:
        return self._random.choices([*FAULTS], weights=[*FAULTS.values()])[0]

    def _new_key(self) -> str:
        self.facts["submissions"] += 1
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _with_both_hands(self, work: Callable[[int], None]) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (0, 1)))

    def _request(self, hand: int, method: str, path: str, *, site: int = 0, **kwargs: Any) -> requests.Response:
        """Return the answer; broken connections are tried again, in turn on both servers. Raise ProofError."""
        session = self._hands[hand]
        kwargs["headers"] = kwargs.get("headers", {}) | {"X-CSRFToken": session.cookies.get("csrftoken", "")}
        kwargs |= {"timeout": TIMEOUT_S, "allow_redirects": False}
        while not self._over.is_set():
            try:
                return session.request(method, self._sites[site] + path, **kwargs)
            except requests.ReadTimeout:
                self.surprises.append(f"{path} did not answer within {TIMEOUT_S:.0f} s")
            except requests.RequestException:
                self.facts["broken connections"] += 1
            site = 1 - site
            self._over.wait(PAUSE_S)
        raise ProofError("The load is over.")

    def _be_surprised(self, what: str, answer: requests.Response) -> None:
        self.surprises.append(f"{what}: HTTP {answer.status_code}: {answer.text[:500]}")


def _shown_in(answer: requests.Response) -> Shown | None:
    """Return what an answer of /proxy_fetch tells; None if it is none that a client should ever see."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return None
    outcome = body.get("outcome")
    may_be = {"refused": (409, 503), PENDING: (409,), "accepted": (200, 202)}.get(outcome, (200, 404, 502, 504))
    if outcome not in YES | NO | {PENDING, "unknown"} or answer.status_code not in may_be:
        return None
    return Shown(body["attempt_id"], outcome, body["job_id"], recorded=answer.status_code == 200)


def _shown_on(page: requests.Response, attempt_id: str) -> Shown | None:
    """Return what an attempt's page tells; None if it is no such page."""
    outcome = re.search(r'class="note outcome (\w+)"', page.text)
    if page.status_code != 200 or outcome is None:
        return None
    job = re.search(r'href="/jobs/([0-9a-f-]{36})/"', page.text)
    job_id = job[1] if job else attempt_id if outcome[1] in YES else None
    return Shown(attempt_id, outcome[1], job_id, recorded=job is not None)
