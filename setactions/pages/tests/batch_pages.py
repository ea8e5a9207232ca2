"""What the tests of the batch pages do with them."""

import re
import uuid

from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.models import Batch
from setactions.pages.tests.test_new_action import hidden_fields, press
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of

CIDS = [f"c{number}" for number in range(7)]


def start(client, *, cids=CIDS, confirm="", **changes):
    """Upload a list and press the button of the review page; returns the answer."""
    return press(client, "start/", hidden_fields(upload(client, cids)) | {"confirm": confirm} | changes)


def upload(client, cids=CIDS):
    """Upload a list as a file; returns the review page."""
    return client.post(
        "/review/", form_with_file("\n".join(["customer_id", *cids])) | {"allow_unusual": "1"}, follow=True
    )


def started(answer):
    """The batch that an answer leads to."""
    assert answer.status_code == 302, text_of(answer)
    return Batch.objects.get(batch_id=re.fullmatch("/batches/([0-9a-f-]{36})/", answer["Location"])[1])


def page_of(client, batch):
    return text_of(client.get(f"/batches/{batch.batch_id}/"))


def ledger_batch(**changes):
    chunk = NewChunk(cluster_url="http://127.0.0.1:2", action_code=2, action_sent="PE-Enable", cids=["a", "b"])
    return create_batch("olivia", NewBatch(batch_id=uuid.uuid4(), chunks=[chunk], **changes), covers=lambda *_: True)[0]


def form_with_file(text):
    file = SimpleUploadedFile("fleet.csv", text.encode())
    return {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "", "csv_file": file}
