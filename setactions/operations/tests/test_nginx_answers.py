"""What the documented nginx says itself, before or instead of the dashboard: TLS, headers and refusals."""

import re

import pytest

from setactions.operations.tests.nginx import (
    DOCUMENTED,
    certificate,
    configuration,
    nginx_in,
    session_from,
    wait_for_answer,
)
from setactions.operations.tests.nginx_front import (
    LONG_ANSWER,
    UNPROTECTED,
    Front,
    assert_own,
    every,
)
from tmsdash.tests.tools import free_ports, until
from tmsdash.web.middleware import HEADERS

pytestmark = pytest.mark.nginx

# -- TLS ----------------------------------------------------------------------------------------------------------

WITHOUT_FORWARD_SECRECY = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA256", "CAMELLIA128-SHA"]

WITHOUT_AUTHENTICATED_ENCRYPTION = ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"]


@pytest.mark.parametrize("cipher", WITHOUT_FORWARD_SECRECY + WITHOUT_AUTHENTICATED_ENCRYPTION)
def test_a_weak_cipher_finds_no_agreement(front, cipher):
    ended = front.handshake("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert ended.returncode != 0
    assert "alert handshake failure" in ended.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_an_old_version_of_tls_finds_no_agreement(front, version):
    ended = front.handshake(version, "-cipher", "ALL:@SECLEVEL=0")
    assert ended.returncode != 0


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("-tls1_3",),
    ],
)
def test_what_keeps_yesterdays_traffic_secret_is_taken(front, options):
    ended = front.handshake(*options)
    assert ended.returncode == 0
    assert "Server Temp Key" in ended.stdout  # a key for this connection alone


# -- Headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/static/x.css", "/api/jobs/mine", "/busy"])
def test_answers_of_the_dashboard_keep_their_own_headers_and_get_no_second_ones(front, path):
    answer = front.ask("GET", f"{front.url}{path}")
    assert {name: every(answer, name) for name in HEADERS} == {name: [value] for name, value in HEADERS.items()}
    assert every(answer, "Strict-Transport-Security") == ["max-age=1"]
    assert every(answer, "Retry-After") == ["900"]


def test_nginx_speaks_in_our_words_and_with_our_headers(front):
    large = {"headers": {"Content-Length": str(7 << 20)}}
    assert_own(front.ask("POST", f"{front.url}/review/", **large), 413, "Cut the list into smaller ones.")
    assert_own(front.ask("GET", f"{front.url}/gone"), 502, "Look at User Jobs before you send anything again")
    assert_own(front.ask("GET", f"{front.url}/never"), 504, "did not answer in time")
    plain_on_the_secure_port = front.ask("GET", f"http://localhost:{front.https_port}/jobs/")
    assert_own(plain_on_the_secure_port, 403, UNPROTECTED)
    malformed = front.ask("GET", f"{front.url}/", headers={"Host": "a b"})
    assert_own(malformed, 400, "Bad Request")
    assert "<html" in front.ask("GET", f"{front.url}/gone").text


def test_scripts_hear_json_that_never_calls_refused_what_may_have_been_sent(front):
    refused = front.ask("POST", f"{front.url}/proxy_fetch", headers={"Content-Length": str(7 << 20)})
    assert (refused.status_code, refused.json()["outcome"]) == (413, "refused")
    assert refused.headers["Content-Type"] == "application/json"


@pytest.fixture
def deserted(front, tmp_path):
    """The same nginx, but the dashboard is gone."""
    http_port, https_port, port = free_ports(3)
    certificate(tmp_path)
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, http_port, https_port, port))
    with nginx_in(tmp_path):
        front = Front(tmp_path, http_port, https_port)
        wait_for_answer(f"{front.url}/", tmp_path, 502)
        yield front


def test_without_the_dashboard_the_outcome_is_unknown(deserted):
    answer = deserted.ask("POST", f"{deserted.url}/proxy_fetch", data=b"{}")
    assert_own(answer, 502, "Look at User Jobs before you send anything again")
    assert (answer.json()["outcome"], answer.json()["job_id"]) == ("unknown", None)
    assert_own(deserted.ask("GET", f"{deserted.plain}/health"), 502, "cannot be reached", secure=False)


def test_every_page_of_nginx_names_its_charset(front):
    for answer in (
        front.ask("GET", f"{front.url}/", headers={"Host": "a b"}),
        front.ask("GET", f"{front.url}/gone"),
        front.ask("GET", f"{front.plain}/jobs/"),
        front.ask("POST", f"{front.plain}/jobs/"),
    ):
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8", answer.status_code


def test_the_longest_cookies_of_a_review_pass_both_ways(front):
    answer = front.ask("GET", f"{front.url}/cookies")
    assert (answer.status_code, len(every(answer, "Set-Cookie"))) == (200, 2)
    token = f"review_token={'x' * 4000}; sessionid={'y' * 32}; csrftoken={'z' * 32}"
    assert front.ask("POST", f"{front.url}/", headers={"Cookie": token}).status_code == 200


# -- What stays behind --------------------------------------------------------------------------------------------


def test_neither_bodies_nor_answers_are_written_to_the_disk_of_nginx(front):
    for url in (f"{front.url}/review/", f"{front.plain}/health"):
        answer = front.ask("POST", url, data=b"x" * (5 << 20) + b"planted-token")
        assert (answer.status_code, answer.text) == (200, "ok")
    with session_from("127.0.0.1", front.folder) as session:
        with session.get(f"{front.url}/long", stream=True, timeout=30) as slowly:
            parts = slowly.iter_content(1 << 20)
            read = len(next(parts))
            # By now nginx has what it takes of the rest: it answers others meanwhile.
            assert front.ask("GET", f"{front.url}/").ok
            read += sum(map(len, parts))
    assert read == LONG_ANSWER
    logged = (front.folder / "tms-dashboard.error.log").read_text()
    assert "temporary file" not in logged
    assert [path for name in ("body", "proxy") for path in (front.folder / name).rglob("*") if path.is_file()] == []


JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def test_the_access_log_has_times_with_their_offset_and_nothing_that_may_be_a_token(front):
    planted = {"headers": {"Referer": f"https://x/?{JWT}", "User-Agent": JWT, "Cookie": JWT, "Authorization": JWT}}
    for path in (f"/customers/?cid={JWT}", f"/customers/{JWT}/", f"/{'t' * 60}", "/jobs/%0a%22forged%22%20x/?secret"):
        for base in (front.url, front.plain):
            front.ask("GET", f"{base}{path}", "127.0.0.9", **planted)

    def lines():
        text = (front.folder / "tms-dashboard.access.log").read_text()
        return [line for line in text.splitlines() if " 127.0.0.9 " in line]

    until(lambda: len(lines()) == 8)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    for line in lines():
        assert re.fullmatch(rf'{time} 127\.0\.0\.9 "GET (\(cut\)|/[^?"]*)" \d{{3}} \d+ [\d.]+ ([0-9a-f]{{16}}|-)', line)
    paths = [line.split('"')[1] for line in lines()[::2]]
    assert paths == ["GET /customers/", "GET (cut)", "GET (cut)", r"GET /jobs/\x0A\x22forged\x22 x/"]


def test_the_error_log_repeats_no_address_as_it_is_documented():
    site = DOCUMENTED.read_text()
    assert re.findall(r"^ *error_log \S+ (\w+);", site, re.MULTILINE) == ["crit"] * 2
    assert re.findall(r"^ *access_log \S+ (\w+);", site, re.MULTILINE) == ["tms"] * 2
