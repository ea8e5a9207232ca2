"""What is sent compressed, and that its length does not give away what a page holds."""

import gzip
import re
import secrets
import zlib

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from jobs.tests.making import make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.web.compression import MOST_PADDING, CompressionMiddleware

pytestmark = pytest.mark.pages

GZIP = {"Accept-Encoding": "br, gzip;q=0.8"}
VARY = {"Accept-Encoding", "Sec-Fetch-Site"}
TEXT = "tms " * 100


def content_of(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def compressed(response, **headers):
    request = RequestFactory().get("/", headers=GZIP | headers)
    return CompressionMiddleware(lambda _: response)(request)


def vary_of(answer):
    return {name.strip() for name in answer.get("Vary", "").split(",")}


@pytest.mark.parametrize(
    "path", ["/jobs/", "/admin/jobs/job/", "/nonsense/", "/api/jobs/mine", "/jobs/{job}/customers.csv"]
)
def test_pages_errors_json_and_csv_are_compressed_for_clients_that_take_gzip(adam, path):
    job = make_job(user_id="adam", cids=[f"id{number}" for number in range(100)])
    client, path = signed_in(adam), path.format(job=job.job_id)
    plain, answer, head = client.get(path), client.get(path, headers=GZIP), client.head(path, headers=GZIP)
    assert "Content-Encoding" not in plain
    assert answer["Content-Encoding"] == head["Content-Encoding"] == "gzip"
    assert vary_of(plain) >= VARY
    assert vary_of(answer) == vary_of(head) == vary_of(plain)
    content, body = content_of(plain), content_of(answer)
    unpacked = gzip.decompress(body)
    if "json" in plain["Content-Type"] or "csv" in plain["Content-Type"]:
        assert unpacked == content
    else:  # with other anti-forgery tokens
        assert len(body) < len(unpacked) * 0.5
        assert re.findall(rb"<h1.*?</h1>", unpacked) == re.findall(rb"<h1.*?</h1>", content)
    if not answer.streaming:
        assert answer["Content-Length"] == str(len(body))


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0", "gzip;\tq=0.", "x-gzip-not"])
def test_clients_that_do_not_take_gzip_get_the_text(accepted):
    answer = compressed(HttpResponse(TEXT), **{"Accept-Encoding": accepted})
    assert answer.content.decode() == TEXT
    assert vary_of(answer) == VARY


def test_what_is_short_compressed_already_or_no_text_is_left_as_it_is():
    for response in (
        HttpResponse("x" * 199),
        HttpResponse(TEXT, content_type="application/zip"),
        HttpResponse(TEXT, headers={"Content-Encoding": "br"}),
    ):
        content, encoding = response.content, response.get("Content-Encoding")
        answer = compressed(response)
        assert (answer.content, answer.get("Content-Encoding")) == (content, encoding)


def test_a_download_is_compressed_as_its_rows_come_and_closed_with_its_answer():
    seen = []

    def rows():
        try:
            for number in range(1000):
                seen.append(number)
                yield secrets.token_hex(500) + "\n"
        finally:
            seen.append("closed")

    answer = compressed(StreamingHttpResponse(rows(), content_type="text/csv"))
    parts = iter(answer.streaming_content)
    unpack = zlib.decompressobj(wbits=31)
    text = b""
    while not text:
        text += unpack.decompress(next(parts))
    assert len(seen) < 1000
    answer.close()
    assert seen[-1] == "closed"


def test_an_etag_is_only_of_the_text():
    assert compressed(HttpResponse(TEXT, headers={"ETag": '"one"'}))["ETag"] == 'W/"one"'


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_makes_a_browser_ask_for_is_not_compressed(olivia, site):
    client = signed_in(olivia)
    answer = client.get("/jobs/?q=guess", headers=GZIP | {"Sec-Fetch-Site": site})
    assert "Content-Encoding" not in answer
    assert vary_of(answer) >= VARY
    for own in ("same-origin", "none"):
        assert client.get("/jobs/", headers=GZIP | {"Sec-Fetch-Site": own})["Content-Encoding"] == "gzip"


def test_the_same_text_has_many_lengths():
    lengths = {len(compressed(HttpResponse(TEXT)).content) for _ in range(300)}
    assert len(lengths) > MOST_PADDING / 2
    assert max(lengths) - min(lengths) <= MOST_PADDING


def test_no_anti_forgery_token_is_the_same_twice(olivia):
    client = signed_in(olivia)
    tokens = [
        token
        for _ in range(2)
        for token in re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/").content.decode())
    ]
    assert len(tokens) > 2
    assert len(set(tokens)) >= 2
