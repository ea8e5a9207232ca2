"""Head and foot of every page: {% page_header %} and {% page_footer %}.

1. Their templates get nothing but the values given here, so the same values give the same HTML, and it is kept. Drawn
   for each page, they took a fifth of the time of a list.
2. What is another one for each page is put in afterwards, in place of a mark: the anti-forgery token, the time of
   printing. Whatever somebody typed is escaped, so it cannot look like a mark.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.template.context import Context
from django.template.defaulttags import CsrfTokenNode
from django.template.engine import Engine
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from tmsdash.web.display import UTC

register = template.Library()

KEPT = 500  # heads and feet, of some 2 KB: those of about fifty people
_CSRF, _PRINTED = (mark_safe(f"<!--{name}-->") for name in ("csrf", "printed"))  # noqa: S308 (ours)
_CUSTOMERS = ("audit.view_attempt", "jobs.set_action")  # either of them leads to pages of customers
_ADMIN_LISTS = ("jobs.view_job", "audit.view_attempt", "audit.view_auditentry")


@register.simple_tag(takes_context=True)
def page_header(context: Context) -> SafeString:
    """Return the head of a page; see templates/partials/_header.html."""
    user, page_name = context.get("user"), _page_name(context)
    if user is None or not user.is_authenticated:
        return _drawn("_header", *_site())
    is_in_admin = user.is_staff and page_name.startswith("admin:")
    head = _drawn(
        "_header",
        *_site(),
        page_name=page_name,
        user_name=user.get_username(),
        may_set_action=_asked(context, "may_set_action"),
        in_doubt_count=_asked(context, "in_doubt_count"),
        sees_customers=any(map(user.has_perm, _CUSTOMERS)),
        is_staff=user.is_staff,
        is_in_admin=is_in_admin,
        admin_lists=tuple(filter(user.has_perm, _ADMIN_LISTS)) if is_in_admin else (),
        csrf=_CSRF,
    )
    return _with(head, _CSRF, CsrfTokenNode().render(context))


@register.simple_tag(takes_context=True)
def page_footer(context: Context) -> SafeString:
    """Return the foot of a page; see templates/partials/_footer.html."""
    user, request = context.get("user"), context.get("request")
    user_name = user.get_username() if user is not None else ""  # "" of whoever is not signed in, too
    foot = _drawn(
        "_footer",
        *_site(),
        page_name=_page_name(context),
        has_request=request is not None,
        is_post=request is not None and request.method == "POST",
        user_name=user_name,
        version=_asked(context, "version") if user_name else "",
        host=_asked(context, "host"),
        theme=context.get("theme", ""),
        time_zone=context.get("time_zone", UTC),
        has_shortcuts=context.get("has_shortcuts", False),
        may_set_action=_asked(context, "may_set_action"),
        csrf=_CSRF,
        printed=_PRINTED,
    )
    printed = timezone.localtime().isoformat(" ", "minutes")[:16]
    return _with(_with(foot, _CSRF, CsrfTokenNode().render(context)), _PRINTED, printed)


@lru_cache(KEPT, typed=True)  # a safe text and an unsafe one are two
def _drawn(name: str, _prefix: str, _urlconf: str, **values: Hashable) -> SafeString:
    """Return the part `name` as its template has it for these values, with the addresses of a site."""
    return Engine.get_default().get_template(f"partials/{name}.html").render(Context(values))


def _site() -> tuple[str, str]:
    """Return what the addresses in a page depend on."""
    return get_script_prefix(), settings.ROOT_URLCONF


def _with(drawn: str, mark: str, value: str) -> SafeString:
    return mark_safe(drawn.replace(mark, value))  # noqa: S308 (both are)


def _asked(context: Context, name: str) -> Any:
    """Return a value of a context, as templates have it: what it calls for, or "" if it is not there."""
    value = context.get(name, "")
    return value() if callable(value) else value


def _page_name(context: Context) -> str:
    """Return the name of the page's address, with its namespace; "" for what no address leads to."""
    match = getattr(context.get("request"), "resolver_match", None)
    return match.view_name if match else ""
