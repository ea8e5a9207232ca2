"""Accounts and groups in the admin: every change is in the audit, and auditors make none."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from audit.account_changes import facts_of, record_change
from audit.sign_in import actor_of
from tmsdash.accounts import is_auditor


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Writes every change to the audit, in the transaction that makes it: without the one there is no other.

    Django calls the `log_…` methods when a change is complete and not yet committed.
    """

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep what the account may do until now, and save it."""
        if change:
            request.facts_before = facts_of(type(obj).objects.get(pk=obj.pk))  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        record_change(actor_of(request), obj, "added", after=facts_of(obj))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        fields = sorted({name for part in message for name in part.get("changed", {}).get("fields", [])})
        before = getattr(request, "facts_before", None) or facts_of(obj)
        record_change(actor_of(request), obj, "changed", fields=fields, before=before, after=facts_of(obj))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Model]) -> Any:
        for account in queryset:
            record_change(actor_of(request), account, "deleted", before=facts_of(account))
        return super().log_deletions(request, queryset)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        with transaction.atomic(using="default"):
            super().delete_queryset(request, queryset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not is_auditor(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not is_auditor(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_auditor(request.user)


admin.site.unregister([User, Group])


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Change a password only together with its entry in the audit."""
        with transaction.atomic(using="default"):
            return super().user_change_password(request, id, form_url)


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    pass
