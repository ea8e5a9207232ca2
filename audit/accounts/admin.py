"""Accounts and groups in the admin, and what else an administrator may change there.

1. Every change is in the audit, and without its entry there is no change.
2. Auditors change nothing, whatever else they are.
3. Only superusers decide what an account may do. Others who may change users look after accounts, and can neither
   raise their own rights nor get at a superuser's account.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods

from audit.accounts.audited_admin import AuditedAdmin
from audit.accounts.changes import record_change
from audit.accounts.forms import AccountForm, NewAccountForm
from audit.accounts.oidc.identities import link, link_in_words, unlink
from audit.accounts.second_factors.factors import remove as remove_factor
from audit.accounts.session_pages import ended_in_words, shown_sessions
from audit.accounts.sign_in import record
from audit.actors import actor_of
from audit.choices import Kind
from tmsdash.accounts import KNOWN_GROUPS
from tmsdash.passwords.hashing import in_line
from tmsdash.passwords.initial import note_given, note_own
from tmsdash.text import counted
from tmsdash.web.sessions import end_sessions, live_sessions
from tmsdash.web.template_filters import shown_time

TIMES = ("signed_in_last", "added")  # which nobody changes
HELP = {
    "is_active": "May sign in. Untick this rather than delete the account.",
    "is_staff": "May open the admin, and see there what its groups may see.",
    "is_superuser": "May do everything, whatever its groups.",
    "groups": "The account may do what each of its groups may.",
}
PRIVILEGES = ("is_staff", "is_superuser", "groups", "user_permissions")


admin.site.unregister([User, Group])


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    place = 4
    sentence = "Who may sign in, and what they may do."
    actions = ("end_sessions_of_chosen", "remove_factors_of_chosen", "link_chosen", "unlink_chosen")
    form = AccountForm
    add_form = NewAccountForm
    filter_horizontal = ()
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "signed_in_last")
    fieldsets = (
        ("Name", {"fields": ("username", "first_name", "last_name", "email", *TIMES)}),
        ("What this account may do", {"fields": ("is_active", *PRIVILEGES[:-1])}),
        ("Permissions besides those of its groups", {"fields": PRIVILEGES[-1:], "classes": ("collapse",)}),
    )

    def get_urls(self) -> Any:
        page = self.admin_site.admin_view(self.sessions_view)
        return [path("<id>/sessions/", page, name="auth_user_sessions"), *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer what concerns single sign-on only where there is one."""
        actions: dict[str, Any] = super().get_actions(request)
        hidden = () if settings.OIDC_ISSUER_URL else ("link_chosen", "unlink_chosen")
        return {name: action for name, action in actions.items() if name not in hidden}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Say of an account that exists whether it signs in with the provider."""
        fieldsets = super().get_fieldsets(request, obj)
        if not obj or not settings.OIDC_ISSUER_URL:
            return fieldsets
        (title, options), *others = fieldsets
        return [(title, options | {"fields": (*options["fields"], "signs_in_elsewhere")}), *others]

    @admin.display(description="single sign-on")
    def signs_in_elsewhere(self, account: User) -> str:
        return link_in_words(account)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep the name: jobs and attempts belong to it as text, and would go over to whoever gets it next."""
        fixed = ("username", "signs_in_elsewhere", *TIMES) if obj else TIMES
        return fixed if request.user.is_superuser else (*fixed, *PRIVILEGES)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a field with our own help, which says what a box does for this site."""
        if db_field.name in HELP:
            kwargs["help_text"] = HELP[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="last sign-in", ordering="last_login")
    def signed_in_last(self, account: User) -> SafeString | str:
        return shown_time(account.last_login) if account.last_login else "never"

    def added(self, account: User) -> SafeString:
        return shown_time(account.date_joined)

    def may_touch(self, request: HttpRequest, account: User | None) -> bool:
        """Keep superusers out of everybody's reach but superusers'."""
        return account is None or not account.is_superuser or request.user.is_superuser

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the account. The user of a new one has to change its password; one that is switched off is signed out
        for good, even if it is soon switched on again."""
        super().save_model(request, obj, form, change)
        if change and not obj.is_active:
            end_sessions(obj)
        elif not change and obj.has_usable_password():
            note_given(obj)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add an account. Its password is hashed within a transaction, so the line for hashing comes before that."""
        with in_line() if request.method == "POST" else nullcontext():
            answer: HttpResponse = super().add_view(request, form_url, extra_context)
            return answer

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Change another user's password, or take it away, but only together with its entry in the audit.

        One's own is changed on the page that asks for the old one.
        """
        if self.get_object(request, unquote(id)) == request.user:  # an id has many spellings
            return redirect("password_change")
        if request.method != "POST":
            form: HttpResponse = super().user_change_password(request, id, form_url)
            return form
        # SQLite has one writer, so few may hash while they write or wait to write.
        with in_line(), transaction.atomic(using="default"):
            self._keep_facts(request, unquote(id))
            before: Any = self.get_object(request, unquote(id))
            answer: HttpResponse = super().user_change_password(request, id, form_url)
            user: Any = self.get_object(request, unquote(id))
            if user is not None and before is not None and user.password != before.password:
                (note_given if user.has_usable_password() else note_own)(user)
            return answer

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def sessions_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """Show where a user is signed in, and end one or all of those sessions."""
        user: Any = self.get_object(request, id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        if request.method != "POST":
            context = {"title": f"Sessions of {user.get_username()}", "original": user, "opts": self.opts}
            context |= self.admin_site.each_context(request) | shown_sessions(live_sessions(user), request)
            return TemplateResponse(request, "admin/auth/user/sessions.html", context)
        chosen = request.POST.get("end", "")
        count = _end_sessions(request, user, None if chosen == "all" else [chosen])
        self.message_user(request, ended_in_words(count), messages.SUCCESS)
        return redirect("admin:auth_user_sessions", id)

    @admin.action(description="End all sessions of selected users", permissions=["change"])
    def end_sessions_of_chosen(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End every session of the chosen users, or none, if one of the users is out of reach."""
        if not all(self.has_change_permission(request, user) for user in queryset):
            raise PermissionDenied("Only superusers can end the sessions of superusers. No session was ended.")
        count = sum(_end_sessions(request, user) for user in queryset)
        self.message_user(request, ended_in_words(count), messages.SUCCESS)

    @admin.action(description="Remove second factors of selected users", permissions=["change"])
    def remove_factors_of_chosen(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take away the second factors of the chosen users, or none, if one is out of reach."""
        if not all(self.has_change_permission(request, user) for user in queryset):
            raise PermissionDenied("Only superusers can remove those of superusers. No second factor was removed.")
        count = sum(remove_factor(user, actor_of(request)) for user in queryset)
        self.message_user(request, f"{counted(count, 'second factor')} removed.", messages.SUCCESS)

    @admin.action(description="Let selected users sign in with single sign-on", permissions=["change"])
    def link_chosen(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let identities of the chosen users' names take their accounts, or none, if one is out of reach."""
        self._change_links(request, queryset, link, "single sign-on allowed")

    @admin.action(description="Let selected users no longer sign in with single sign-on", permissions=["change"])
    def unlink_chosen(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Take the chosen users' identities away, which ends their sessions; or none, if one is out of reach."""
        self._change_links(request, queryset, unlink, "single sign-on taken away")

    def _change_links(
        self, request: HttpRequest, queryset: QuerySet[User], change: Callable[[User], bool], in_audit: str
    ) -> None:
        if not all(self.has_change_permission(request, user) for user in queryset):
            raise PermissionDenied("Only superusers decide how superusers sign in. No account was changed.")
        changed = [user for user in queryset if change(user)]
        for user in changed:
            record_change(actor_of(request), user, in_audit)
            if change is unlink:
                end_sessions(user)
        self.message_user(request, f"{counted(len(changed), 'account')} changed.", messages.SUCCESS)


def _end_sessions(request: HttpRequest, user: User, only: list[str] | None = None) -> int:
    count = end_sessions(user, only=only)
    if count:
        facts = {"what": "user", "name": user.get_username(), "change": "sessions ended", "sessions": count}
        record(Kind.SETTING_CHANGED, request, request.user.get_username(), **facts)
    return count


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    """Lets only superusers change groups, because each gives its members rights.

    The groups that the product knows by name stay: under another name, auditors would be auditors no longer.
    """

    place = 5
    sentence = "What the members of each group may do."
    filter_horizontal = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("name",) if obj and obj.name in KNOWN_GROUPS else ()

    def may_touch(self, request: HttpRequest, account: Group | None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.name in KNOWN_GROUPS)
