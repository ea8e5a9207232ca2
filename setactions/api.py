"""`POST /proxy_fetch`: Set Actions and reads for scripts, in JSON."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from audit.actors import actor_of
from audit.choices import Evidence, Outcome, Source
from setactions import service
from setactions.confirmation import check_number, number_in
from setactions.inputs import ids
from setactions.note import FIELD as NOTE
from setactions.note import check_given, checked_note, is_required
from setactions.payload import Submission, check_fits_one_call, find_overlap_warnings, make_submission
from setactions.permissions import NotPermitted, check_may_set_action, may_set_action
from setactions.reads import read
from setactions.refusal import Checks, Refusal
from setactions.results import Result
from setactions.tms.clusters import Target, parse_target
from setactions.token import Token
from setactions.word import ANY_WORD, NO_WORD
from tmsdash import strict_json
from tmsdash.rates import WINDOW_S
from tmsdash.text import sentence
from tmsdash.web.access_log import tell_tms_verdict
from tmsdash.web.bodies import take_body
from tmsdash.web.errors import error_json

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Fetch:
    """A request body that was checked; `submission` is None for a read."""

    target: Target
    token: Token
    submission: Submission | None
    send_again: bool
    confirm: int | None  # the number of customers that the client says it is sending to


@never_cache
@sensitive_variables()
def proxy_fetch(request: HttpRequest) -> HttpResponse:
    """Carry out the Set Action or the read in the body; every answer is JSON."""
    if request.method != "POST":
        response: HttpResponse = error_json(405, "Use POST.")
        response["Allow"] = "POST"
        return response
    actor = actor_of(request, Source.API)
    is_read = False
    try:
        body = _load(request)
        is_read = body["isPost"] is False
        attempt_id = None if is_read else _idempotency_key(request)
        fetch = _parse(body, attempt_id)
        del body
        if fetch.submission is None:
            check_may_set_action(request.user)
            return _read(fetch)
        _check_confirmed(fetch.submission, fetch.confirm, attempt_id)
    except Refusal as error:
        refusal = error if may_set_action(request.user) else NotPermitted()
        if is_read:
            return JsonResponse(_refused_body(refusal.message, refusal.errors), status=refusal.code)
        return respond(service.refuse(user=request.user, actor=actor, refusal=refusal))
    overlaps = find_overlap_warnings(fetch.submission)  # before the call, which opens an attempt of its own
    result = service.set_action(
        user=request.user,
        actor=actor,
        submission=fetch.submission,
        token=fetch.token,
        attempt_id=attempt_id,
        word=ANY_WORD if fetch.send_again else NO_WORD,
    )
    return respond(result, fetch.submission, overlaps)


def _load(request: HttpRequest) -> dict[str, Any]:
    try:
        body = strict_json.loads(take_body(request))
    except ValueError as error:
        raise Refusal(400, "request", f"The body is not usable JSON ({_place(error)}).") from None
    if not isinstance(body, dict):
        raise Refusal(400, "request", "The body must be a JSON object.")
    if not isinstance(body.get("isPost"), bool):
        raise Refusal(400, "isPost", "isPost must be true for a Set Action or false for a read.")
    return body


def _place(error: ValueError) -> str:
    """Return where the JSON went wrong, without any of its content."""
    position = getattr(error, "pos", None)
    return "it is cut short or malformed" if position is None else f"at character {position:,}"


def _idempotency_key(request: HttpRequest) -> uuid.UUID | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")  # all headers would be read for `headers`
    if key is None:
        return None
    if not _UUID.fullmatch(key):
        raise Refusal(400, "Idempotency-Key", "The key must be a UUID, such as uuidgen prints.")
    return uuid.UUID(key)


@sensitive_variables()
def _parse(body: dict[str, Any], attempt_id: uuid.UUID | None) -> Fetch:
    """Check the whole body; raises one Refusal that names everything that is wrong."""
    checks = Checks()
    target = checks.run(lambda: _target(body))
    token = checks.run(lambda: Token(body.get("token")))
    send_again = checks.run(lambda: _flag(body, "sendAgain"))
    allow_unusual = checks.run(lambda: _flag(body, "allowUnusual"))
    confirm = checks.run(lambda: number_in(body))
    note = checks.run(lambda: checked_note(body.get(NOTE, ""), token))
    submission = None
    if body["isPost"]:
        submission = checks.run(
            lambda: _submission(body, target, attempt_id, note or "", allow_unusual=bool(allow_unusual))
        )
    checks.finish()
    if target is None or token is None:
        raise RuntimeError("checks passed without a target or token")
    return Fetch(target, token, submission, bool(send_again), confirm)


def _target(body: dict[str, Any]) -> Target:
    url = body.get("url")
    if not isinstance(url, str):
        raise Refusal(400, "url", "url must be text: the cluster's origin with the path of the call.")
    return parse_target(url, is_post=body["isPost"])


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refusal(400, name, f"{name} must be true or false.")
    return value


def _check_confirmed(submission: Submission, confirm: int | None, attempt_id: uuid.UUID | None) -> None:
    """Raise Refusal (400) unless the number of customers is confirmed and there is a note, where these have to be."""
    clusters = [submission.cluster]
    lacks_any = confirm is None or (not submission.note and is_required(clusters))
    is_replay = lacks_any and attempt_id is not None and service.find_known(attempt_id) is not None  # and sends nothing
    if confirm is not None or not is_replay:
        check_number(confirm, submission.cluster, len(submission.cids))
    if not is_replay:
        check_given(submission.note, clusters, 'Send it as "note": "the reason or the ticket".')


def _submission(
    body: dict[str, Any], target: Target | None, attempt_id: uuid.UUID | None, note: str, *, allow_unusual: bool
) -> Submission | None:
    post_data = body.get("postData")
    if not isinstance(post_data, dict) or not isinstance(post_data.get("action"), str):
        raise Refusal(400, "postData", 'postData must be {"action": "...", "cids": [...]}, the action as text.')
    try:
        cid_list = ids.from_json(post_data.get("cids"), allow_unusual=allow_unusual)
    except ids.DamagedIds:
        if not (attempt_id and service.find_known(attempt_id)):
            raise
        cid_list = ids.from_json(post_data["cids"], allow_unusual=True)  # a replay sends nothing
    if target is None:
        return None
    submission = make_submission(target.cluster, post_data["action"], cid_list, note)
    check_fits_one_call(submission)
    return submission


@sensitive_variables()
def _read(fetch: Fetch) -> HttpResponse:
    reply = read(fetch.target, fetch.token)
    if reply.ok:
        return JsonResponse({"status": "success", "data": reply.data, "httpStatus": reply.http_status})
    body = {
        "status": "error",
        "outcome": reply.kind.outcome,
        "message": reply.message,
        "data": reply.data,
        "httpStatus": reply.http_status,
    }
    return JsonResponse(body, status=504 if reply.timed_out else 502)


def respond(result: Result, submission: Submission | None = None, overlaps: tuple[str, ...] = ()) -> HttpResponse:
    """Return the answer for a result, in the shape and under the status that scripts rely on."""
    if result.outcome == Outcome.REFUSED:
        body = _refused_body(result.message, result.errors)
        if result.refusal_code == 429:
            return JsonResponse(body, status=429, headers={"Retry-After": str(WINDOW_S)})
        body["attempt_id"] = str(result.attempt_id)
        if result.duplicate_of:
            body["duplicate_of"] = str(result.duplicate_of)
            body["overlap"] = result.overlap
        headers = {} if result.retry_after_s is None else {"Retry-After": str(result.retry_after_s)}
        return JsonResponse(body, status=result.refusal_code, headers=headers)
    accepted = result.outcome.is_accepted
    outcome = Outcome.NOT_APPLIED if result.outcome.is_not_applied else result.outcome
    body = {
        "status": "success" if accepted else "error",
        "outcome": Outcome.ACCEPTED.value if accepted else outcome.value,
        "attempt_id": str(result.attempt_id),
        "job_id": str(result.job_id) if result.job_id else None,
        "message": result.message if accepted else f"{sentence(result.message)} {result.explanation}",
        "data": result.data,
        "httpStatus": result.http_status,
        "repeated": submission.repeated if submission else 0,
    }
    warnings = (*(submission.warnings if submission else ()), *overlaps)
    if warnings:
        body["warnings"] = warnings
    if result.outcome.evidence in (Evidence.READ_BACK, Evidence.DECIDED):
        body["evidence"] = result.outcome.evidence
    if result.replayed:
        body["replayed"] = True
    return tell_tms_verdict(JsonResponse(body, status=http_code(result)))


def http_code(result: Result) -> int:
    """Return the HTTP status of the answer that carries a result."""
    if result.outcome.is_accepted:
        return 200 if result.job_recorded else 202
    if result.outcome == Outcome.REJECTED and result.http_status not in (None, 200, 201):
        return 502 if result.http_status == 401 or result.http_status >= 500 else result.http_status
    if result.outcome == Outcome.UNKNOWN:
        return 504 if result.timed_out else 502
    return {Outcome.NOT_SENT: 502, Outcome.PENDING: 409}.get(result.outcome, 200)


def _refused_body(message: str, errors: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "status": "error",
        "outcome": Outcome.REFUSED.value,
        "attempt_id": None,
        "message": message,
        "errors": errors,
        "job_id": None,
    }
