"""What answers to `get/appstatus` say, checked strictly: a malformed one says nothing of any app."""

from typing import Any, TypeGuard

from jobs.app_status.statuses import App
from jobs.models import AppStatus
from setactions.reads import ReadingFailedError
from setactions.tms.replies import Reply

MAX_APPS = 200  # of one customer; TMS has eight
_NAME_LENGTH = AppStatus._meta.get_field("app_name").max_length or 0
_STATUS_LENGTH = AppStatus._meta.get_field("status").max_length or 0


def apps_in(reply: Reply) -> list[App]:
    """Return the apps of a customer in TMS's reply, in its order; raises ReadingFailedError if any is malformed.

    That TMS lists no app at all is no state, either: nobody could tell it from a customer whose apps are all ready.
    """
    if not reply.ok:
        raise ReadingFailedError(reply.message, http_status=reply.http_status)
    if not isinstance(reply.data, list) or len(reply.data) > MAX_APPS:
        raise ReadingFailedError("TMS's answer is not a list of apps with their status.")
    if not reply.data:
        raise ReadingFailedError("TMS listed no apps for this customer.")
    apps = [_app(entry) for entry in reply.data]
    if len({app.name for app in apps}) < len(apps):
        raise ReadingFailedError("TMS listed an app of this customer more than once.")
    return apps


def _app(entry: Any) -> App:
    if not isinstance(entry, dict):
        raise ReadingFailedError("TMS's answer is not a list of apps with their status.")
    name, status, reason = entry.get("app_name"), entry.get("status"), entry.get("reason")
    if not (_is_word(name, _NAME_LENGTH) and _is_word(status, _STATUS_LENGTH)):
        raise ReadingFailedError("TMS's answer names an app or a status by what can be neither.")
    if not isinstance(reason, str | None):
        raise ReadingFailedError("TMS's answer gives a reason that is not text.")
    return App(name.strip(), status, reason or "")  # addresses of filters have no spaces around a name


def _is_word(value: Any, length: int) -> TypeGuard[str]:
    return isinstance(value, str) and len(value.strip()) >= 1 and len(value) <= length and value.isprintable()
