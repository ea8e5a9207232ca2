"""The evidence pack of one attempt."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from audit.actors import Actor
from audit.choices import Kind
from audit.exports import PACKS_PER_MINUTE, WAIT_S, answer_export, packs
from audit.proof.evidence import gather
from audit.proof.evidence_pack import pack
from audit.selectors import attempt_for, entries_of
from audit.services import record_fact
from tmsdash.web.errors import error_response


@never_cache
@require_GET
def evidence(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponseBase:
    """Download the evidence pack of an attempt, which the audit notes first."""
    attempt = attempt_for(request.user, attempt_id)
    if not entries_of(attempt).exists():
        return error_response(
            request, 410, "The events of this attempt are in an archive: audit_verify reads it there."
        )

    def noted_pack(actor: Actor) -> HttpResponse:
        body = {"what": "evidence", "attempt_id": str(attempt_id)}
        record_fact(Kind.EXPORTED, body, actor=actor, wait_s=WAIT_S)
        gathered = gather(attempt)
        headers = {"Content-Disposition": f'attachment; filename="{gathered.file_name}"'}
        return HttpResponse(pack(gathered, actor.user_id), content_type="application/zip", headers=headers)

    return answer_export(request, packs, PACKS_PER_MINUTE, noted_pack)
