"""Who is signed in, read together with their session: one statement for all that a request asks of the accounts.

Nothing is kept from one request to the next: an account that is deactivated, a permission or a group that is taken
away and a session that is ended count from the next request on. Each request needs the session, its account, the
account's permissions and groups, and whether its password was given by an administrator. Asked for one after the
other through the ORM, that is six statements, which took longer than all else that a request does.
"""

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

DATABASE = "default"
# In the model's order. Without the times, which no request needs: Django reads them when somebody asks.
COLUMNS = (
    *("id", "password", "is_superuser", "username"),
    *("first_name", "last_name", "email", "is_staff", "is_active"),
)
_LIST_OF = {"sqlite": "json_group_array", "postgresql": "json_agg"}


@cache
def _statement(vendor: str) -> str:
    list_of, columns = _LIST_OF[vendor], ", ".join(f"u.{column}" for column in COLUMNS)
    return f"""
        SELECT s.session_data, i.user_id,
            (SELECT {list_of}(c.app_label || '.' || p.codename)
             FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id
             WHERE p.id IN (
                SELECT permission_id FROM auth_user_user_permissions WHERE user_id = u.id
                UNION ALL
                SELECT gp.permission_id FROM auth_user_groups ug
                JOIN auth_group_permissions gp ON gp.group_id = ug.group_id WHERE ug.user_id = u.id)),
            (SELECT {list_of}(g.name) FROM auth_user_groups ug JOIN auth_group g ON g.id = ug.group_id
             WHERE ug.user_id = u.id),
            {columns}
        FROM tmsdash_session s
        LEFT JOIN auth_user u ON u.id = s.account_id
        LEFT JOIN tmsdash_initialpassword i ON i.user_id = u.id
        WHERE s.session_key = %s AND s.expire_date > %s"""  # noqa: S608 (names of ours)


def read_session(session_key: str) -> tuple[str, User | None] | None:
    """Return the data of a session that has not expired, and the account that it names; None if there is none.

    The account has its permissions, its `group_names` and, if it has none, that it has no initial password.
    """
    connection = connections[DATABASE]
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor), [session_key, now])
        row = cursor.fetchone()
    if row is None:
        return None
    session_data, initial_password_of, permissions, groups, *values = row
    if values[0] is None:
        return session_data, None
    user = User.from_db(DATABASE, COLUMNS, values)
    user.group_names = _list(groups)  # type: ignore[attr-defined]
    if not user.is_superuser:  # who has all of them anyway
        user._perm_cache = set(_list(permissions))  # type: ignore[attr-defined] # what Django's backend asks first
    if initial_password_of is None:
        User.initial_password.related.set_cached_value(user, None)
    return session_data, user


def _list(value: Any) -> list[str]:
    """Return a list as the database made it: SQLite gives text, and PostgreSQL nothing for an empty one."""
    names: list[str] = json.loads(value) if isinstance(value, str) else value or []
    return names


class SessionUserMiddleware(AuthenticationMiddleware):
    """Django's own, which takes the account that was read together with the session."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> Any:
    """Return the account of the session; whatever is not as usual, Django decides by itself."""
    session = request.session
    hash_in_session, backend = session.get(HASH_SESSION_KEY, ""), session.get(BACKEND_SESSION_KEY)
    user: User | None = getattr(session, "user", None)
    if (
        user is not None
        and user.is_active
        and str(user.pk) == session.get(SESSION_KEY)
        and backend in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(hash_in_session, user.get_session_auth_hash())
    ):
        return user
    return get_user(request)  # also where only an old SECRET_KEY fits, or the account is gone
