"""Targets: the allow-list to the letter, whatever the spelling."""

import pytest

from setactions.refusal import Refusal
from setactions.tms.clusters import Call, parse_target

GOOD = "https://evian3.example"


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = {"evian3": GOOD, "port": "https://brooke.example:8443", "local": "http://127.0.0.1:9000"}


@pytest.mark.parametrize("origin", [GOOD, "https://brooke.example:8443", "http://127.0.0.1:9000"])
@pytest.mark.parametrize("path", ["/tms/v1/set/action", "//tms//v1/set////action"])
def test_configured_origins_with_the_path_are_taken(origin, path):
    target = parse_target(origin + path, is_post=True)
    assert (target.cluster.origin, target.call) == (origin, Call.SET_ACTION)


PATH = "/tms/v1/set/action"


@pytest.mark.parametrize(
    "url",
    [
        f"https://evian3.example@evil.example{PATH}",
        f"https://evil.example@evian3.example{PATH}",
        f"https://user:pass@evian3.example{PATH}",
        f"https://evian3.example\\@evil.example{PATH}",
        f"https://evian3.example\\{PATH}",
        f"https:\\\\evian3.example{PATH}",
        f"https://evian3.example.{PATH}",
        f"https://evian3.example.evil.example{PATH}",
        f"https://evian3.example:443{PATH}",
        f"https://evian3.example:8443{PATH}",
        f"https://brooke.example{PATH}",
        f"https://evian3.example%2e{PATH}",
        f"https://evian3.example#{PATH}",
        f"https://evian3.example?{PATH}",
        f"http://evian3.example{PATH}",
        f"HTTPS://evian3.example{PATH}",
        f"https://EVIAN3.example{PATH}",
        f" https://evian3.example{PATH}",
        f"https://evian3.example {PATH}",
        f"https://evian3.example\t{PATH}",
        f"https://evian3.example\r\nHost: evil{PATH}",
        f"https://evi\u0430n3.example{PATH}",  # a Cyrillic letter
        f"https://evian3\u3002example{PATH}",  # an ideographic full stop
        f"https://evian3.example\u2044{PATH}",
        f"//evian3.example{PATH}",
        f"evian3.example{PATH}",
        f"file://evian3.example{PATH}",
        f"https:///evian3.example{PATH}",
        f"https:evian3.example{PATH}",
        f"http://127.1:9000{PATH}",
        f"http://2130706433:9000{PATH}",
        f"http://0x7f000001:9000{PATH}",
        f"http://0177.0.0.1:9000{PATH}",
        f"http://[::1]:9000{PATH}",
        f"http://[::ffff:127.0.0.1]:9000{PATH}",
        f"http://127.0.0.1{PATH}",
        f"http://localhost:9000{PATH}",
        f"http://127.0.0.1:09000{PATH}",
        "https://evian3.example",
        "",
        "/",
    ],
)
def test_every_other_spelling_is_not_allowed(url):
    with pytest.raises(Refusal) as caught:
        parse_target(url, is_post=True)
    assert (caught.value.code, list(caught.value.errors)) == (403, ["url"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/tms/v1/set/action/",
        "/tms/v1/set/action?",
        "/tms/v1/set/action?a=b",
        "/tms/v1/set/action#x",
        "/tms/v1/set/action;x",
        "/tms/v1/../v1/set/action",
        "/tms/v1/set%2faction",
        "/tms/v1/set/action\r\n",
        "/TMS/v1/set/action",
        "/tms/v1/get/action?cid=ALL",
        "/x/tms/v1/set/action",
    ],
)
def test_paths_that_do_not_fit_a_set_action_are_refused(path):
    with pytest.raises(Refusal) as caught:
        parse_target(GOOD + path, is_post=True)
    assert caught.value.code == 400


def test_reads_take_cid_and_app_and_nothing_else():
    target = parse_target(f"{GOOD}//tms/v1/get/appstatus?app=ALL&cid=a%2Fb", is_post=False)
    assert (target.call, target.query) == (Call.GET_APPSTATUS, (("app", "ALL"), ("cid", "a/b")))
    for query in ("", "?", "?x=1", "?cid", "?cid=a&token=b", "?cid=%0d%0aX", "?cid=%ff", "?CID=a"):
        with pytest.raises(Refusal) as caught:
            parse_target(f"{GOOD}/tms/v1/get/action{query}", is_post=False)
        assert caught.value.code == 400
