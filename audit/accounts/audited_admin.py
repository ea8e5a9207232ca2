"""An admin whose every change is in the audit, and under which auditors change nothing."""

import re
from operator import attrgetter
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import Permission
from django.db import router, transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from audit.accounts.changes import facts_of, record_change
from audit.accounts.forms import refuse_token
from audit.actors import actor_of
from tmsdash.accounts import is_auditor
from tmsdash.web.admin import ReadOnlyAdmin, StrictListAdmin

_KEY = re.compile("[0-9]{1,18}")


class AuditedAdmin(StrictListAdmin):
    """Writes every change to the audit before it is committed.

    The audit is another database, so it may name a change whose commit failed. Django calls `log_addition` and
    `log_change` after the change, and `log_deletions` before it.
    """

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field of a form. None takes what looks like a token: lists and the audit would show it.

        It is drawn as the browser draws it: Django's own need scripts and styles of the admin.
        """
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, forms.ModelMultipleChoiceField):
            boxes: Any = field
            if boxes.queryset.model is Permission:
                boxes.queryset = boxes.queryset.filter(self._asked_for() | self._held(request))
            boxes.label_from_instance = attrgetter("name")
            boxes.widget, boxes.help_text = forms.CheckboxSelectMultiple(choices=boxes.choices), db_field.help_text
        elif field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget  # without its links to windows of their own
        if isinstance(field, forms.CharField):
            field.validators.append(refuse_token)
        return field

    def _asked_for(self) -> Q:
        """Return a condition on permissions: those that a list of the admin asks for, and the product's own."""
        asked_for = Q()
        for model, of_model in self.admin_site._registry.items():
            does = ("view",) if isinstance(of_model, ReadOnlyAdmin) else model._meta.default_permissions
            names = [*(get_permission_codename(what, model._meta) for what in does), *dict(model._meta.permissions)]
            asked_for |= Q(content_type__app_label=model._meta.app_label, codename__in=names)
        return asked_for

    def _held(self, request: HttpRequest) -> Q:
        """Return a condition on the permissions that the changed account or group has, so that saving keeps them."""
        match = request.resolver_match
        key = unquote(str(match.kwargs.get("object_id", ""))) if match else ""
        if not _KEY.fullmatch(key):
            return Q(pk__in=())
        held = Permission.objects.filter(**{str(self.opts.model_name): key})
        return Q(pk__in=held.order_by().values("pk"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            self._keep_facts(request, str(obj.pk))
        super().save_model(request, obj, form, change)

    def _keep_facts(self, request: HttpRequest, pk: str) -> None:
        stored = self.get_object(request, pk)  # not the object that is being changed
        request.facts_before = self.facts_of(stored) if stored else {}  # type: ignore[attr-defined]

    def facts_of(self, row: Any) -> dict[str, Any]:
        """Return what the audit keeps of a row, as it is stored now."""
        return facts_of(row)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        record_change(actor_of(request), obj, "added", after=self.facts_of(obj))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        fields = sorted({name for part in message for name in part.get("changed", {}).get("fields", [])})
        before = request.facts_before  # type: ignore[attr-defined]
        record_change(actor_of(request), obj, "changed", fields=fields, before=before, after=self.facts_of(obj))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Model]) -> Any:
        for row in queryset:
            record_change(actor_of(request), row, "deleted", before=self.facts_of(row))
        return super().log_deletions(request, queryset)

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:  # type: ignore[override]
        """Carry out what was chosen for several rows, for all of them or for none."""
        if not all(_KEY.fullmatch(key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return self.wrong_address(request, "The form names a row that cannot exist. Nothing was done.")
        with transaction.atomic(using=router.db_for_write(self.model)):
            return super().response_action(request, queryset)

    def may_touch(self, request: HttpRequest, account: Any) -> bool:
        """Tell whether `account` (None for accounts in general) is within reach of the request's user."""
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not is_auditor(request.user) and self.may_touch(request, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_change = super().has_change_permission(request, obj) and not is_auditor(request.user)
        return may_change and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_delete = super().has_delete_permission(request, obj) and not is_auditor(request.user)
        return may_delete and self.may_touch(request, obj)
