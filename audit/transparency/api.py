"""What witnesses on other machines ask for: the last checkpoint, and proofs that it continues an earlier one.

Nothing of it is believed by whoever asks. A proof reads some dozens of hashes, however long the audit is.
"""

import re
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from audit.models import StoredCheckpoint
from audit.transparency import tiles
from tmsdash.rates import WINDOW_S, Rate
from tmsdash.web.bearer import presents
from tmsdash.web.errors import error_json, json_get

PER_MINUTE = 120  # of all witnesses together; each asks twice at a time
FIELD = "checkpoint"  # which refusals name that say something about the audit
FORBIDDEN = (
    "This is for witnesses of the audit, which send Authorization: Bearer with the AUDIT_WITNESS_TOKEN of the settings."
)
NO_WITNESSES = "This site has no witnesses of its audit: AUDIT_WITNESS_TOKEN is not set."
NOTHING_SEALED = "There is no checkpoint yet: manage.py audit_seal signs the first one."
NO_NUMBER = "Write from and to as whole numbers of entries: ?from=1000&to=2000."

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_asked = Rate("audit witness")


def _for_witnesses(view: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Restrict a view to GET by whoever presents the token, so often a minute."""

    @never_cache
    @json_get
    @login_not_required
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if not settings.AUDIT_WITNESS_TOKEN:
            return error_json(404, NO_WITNESSES)
        if not presents(request, settings.AUDIT_WITNESS_TOKEN):
            refusal: HttpResponse = error_json(403, FORBIDDEN)
            refusal._has_been_logged = True  # type: ignore[attr-defined]  # the access log has a line of it
            return refusal
        if not _asked.take("", PER_MINUTE):
            refusal = error_json(429, f"Witnesses asked {PER_MINUTE} times within a minute. Wait a minute.")
            refusal["Retry-After"] = str(WINDOW_S)
            return refusal
        return view(request)

    return checked


@_for_witnesses
def checkpoint(request: HttpRequest) -> HttpResponse:
    """Answer the last checkpoint, a signed note; 404 if there is none."""
    last = _last()
    return HttpResponse(last.note, content_type="text/plain; charset=utf-8") if last else _nothing_sealed()


@_for_witnesses
def consistency(request: HttpRequest) -> HttpResponse:
    """Answer the proof that the tree of the first `to` entries continues that of the first `from` (RFC 9162).

    404 if nothing was sealed yet, 409 if these are no sizes that the last checkpoint covers.
    """
    given = [request.GET.get(name, "") for name in ("from", "to")]
    if not all(map(_NUMBER.fullmatch, given)):
        return error_json(400, NO_NUMBER)
    old, new = map(int, given)
    last = _last()
    if last is None:
        return _nothing_sealed()
    if not old <= new <= last.size:
        message = f"The last checkpoint covers {last.size} entries. Write 0 <= from <= to <= {last.size}."
        return error_json(409, message, FIELD)
    try:
        proof = tiles.tree(new).consistency(old)
    except tiles.TilesDamaged as damage:
        return error_json(409, f"{damage} So nothing can be proven. Run manage.py audit_verify on the site.", FIELD)
    return JsonResponse({"from": old, "to": new, "proof": [part.hex() for part in proof]})


def _last() -> StoredCheckpoint | None:
    return StoredCheckpoint.objects.order_by("size").last()


def _nothing_sealed() -> HttpResponse:
    return error_json(404, NOTHING_SEALED, FIELD)
