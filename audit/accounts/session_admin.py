"""Where administrators see and end the sessions of users."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from audit.accounts.session_pages import ended_in_words, shown_sessions
from audit.accounts.sign_in import record
from audit.choices import Kind
from tmsdash.web.sessions import end_sessions, live_sessions


class SessionsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The part of the admin of users that ends sessions, and does not let anybody get round their old password."""

    actions = ("end_sessions_of_chosen",)

    def get_urls(self) -> Any:
        page = self.admin_site.admin_view(self.sessions_view)
        return [path("<id>/sessions/", page, name="auth_user_sessions"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the account. One that is switched off is signed out for good, even if it is soon switched on again."""
        super().save_model(request, obj, form, change)
        if change and not obj.is_active:
            end_sessions(obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Change another user's password. One's own is changed on the page that asks for the old one."""
        if self.get_object(request, unquote(id)) == request.user:  # an id has many spellings
            return redirect("password_change")
        answer: HttpResponse = super().user_change_password(request, id, form_url)  # type: ignore[misc]
        return answer

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def sessions_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """Show where a user is signed in, and end one or all of those sessions."""
        user = self.get_object(request, id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        if request.method != "POST":
            context = self.admin_site.each_context(request) | shown_sessions(live_sessions(user), request)
            title = f"Sessions of {user.get_username()}"
            return TemplateResponse(
                request,
                "admin/auth/user/sessions.html",
                context | {"title": title, "original": user, "opts": self.opts},
            )
        chosen = request.POST.get("end", "")
        count = _end(request, user, None if chosen == "all" else [chosen])
        self.message_user(request, ended_in_words(count), messages.SUCCESS)
        return redirect("admin:auth_user_sessions", id)

    @admin.action(description="End all sessions of selected users", permissions=["change"])
    def end_sessions_of_chosen(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End every session of the chosen users, or none, if one of the users is out of reach."""
        if not all(self.has_change_permission(request, user) for user in queryset):
            raise PermissionDenied("Only superusers can end the sessions of superusers. No session was ended.")
        count = sum(_end(request, user, None) for user in queryset)
        self.message_user(request, ended_in_words(count), messages.SUCCESS)


def _end(request: HttpRequest, user: User, only: list[str] | None) -> int:
    count = end_sessions(user, only=only)
    if count:
        facts = {"what": "user", "name": user.get_username(), "change": "sessions ended", "sessions": count}
        record(Kind.SETTING_CHANGED, request, request.user.get_username(), **facts)
    return count
