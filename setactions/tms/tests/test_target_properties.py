"""What holds for every address that somebody asks for: it is allowed to every parser, or to none."""

import re
from urllib.parse import urlsplit

from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st

from setactions.tests.properties import outcome_of, texts, very_often
from setactions.tms.clusters import READ_PARAMETERS, Call, parse_target

CLUSTERS = {"evian3": "https://evian3.example", "port": "https://brooke.example:8443", "local": "http://127.0.0.1:9000"}
origins = st.sampled_from(list(CLUSTERS.values()))
paths = st.lists(st.sampled_from(["/", "//", "tms", "v1", "set", "action", "..", "%2f"]), max_size=8).map("".join)
calls = st.sampled_from(["/tms/v1/set/action", "//tms/v1///get/action", "/tms/v1/get/appstatus"])
queries = st.sampled_from(["", "?", "?cid=ALL", "?cid=a%26b&app=c", "?x=y", "?cid=%00", "#x", "?cid=a#b", ";x"])
pieces = st.sampled_from(
    [
        *CLUSTERS.values(),
        *("https://", "http://", "//", "/", "\\", "@", ":", ":443", ":8443", "?", "#", ";", "%2f", "%00", ".", "&"),
        *("evian3.example", "EVIAN3.example", "evil.example", "127.0.0.1", "[::1]", "0x7f000001", "localhost", "u"),
        *("tms", "v1", "set", "get", "action", "appstatus", "/tms/v1/set/action", "/tms/v1/get/action", "?cid=ALL"),
        *("cid=a", "app=ALL", "x=y", " ", "\t", "\r\n", "\0", "\u202e", "\uff0f", "\u3002", "\ud800"),
    ]
)
anything = st.lists(pieces, max_size=8).map("".join)
urls = st.one_of(
    anything,
    texts,
    st.builds("{}{}".format, origins, anything),
    st.builds("{}{}{}".format, origins, paths, queries),
    st.builds("{}{}{}".format, origins, calls, queries),
    st.builds("{}{}{}{}".format, origins, pieces, calls, queries),
)


@very_often
@given(urls, st.booleans())
@example("https://evian3.example//tms/v1/set/action", True)
@example("https://evian3.example/tms/v1/get/action?cid=a%26app%3Db", False)
@override_settings(TMS_CLUSTERS=CLUSTERS)
def test_an_accepted_target_is_an_allowed_one_to_every_other_parser_too(url, is_post):
    target, refusal = outcome_of(lambda: parse_target(url, is_post=is_post))
    if refusal:
        is_allowed = url.startswith(tuple(f"{origin}/" for origin in CLUSTERS.values()))
        assert (refusal.code, list(refusal.errors)) == (400 if is_allowed else 403, ["url"])
        return
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == target.cluster.origin
    assert CLUSTERS[target.cluster.name] == target.cluster.origin
    assert (parts.username, parts.password) == (None, None)
    assert re.sub("/+", "/", parts.path) == target.call.value
    assert is_post == (target.call is Call.SET_ACTION) == ("?" not in url)
    assert all(name in READ_PARAMETERS and value.isprintable() for name, value in target.query)
    assert bool(target.query) != is_post
