"""The banners at the top of every page, in the admin. Every change is in the audit; auditors change nothing."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from audit.accounts.audited_admin import AuditedAdmin
from tmsdash import banners
from tmsdash.models import Banner
from tmsdash.text import one_line
from tmsdash.web.template_filters import shown_time
from tmsdash.web.utc_field import UtcTimeField

FACTS = ("kind", "text", "begins_at", "ends_at")


class BannerForm(forms.ModelForm):  # type: ignore[type-arg]
    """A banner, which everybody sees who opens the site."""

    begins_at = UtcTimeField("From", help_text="Left empty: at once.")
    ends_at = UtcTimeField("Until", help_text="Left empty: until it is deleted.")

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        if one_line(text) != text:
            raise forms.ValidationError("This has characters that cannot be seen, or that turn text around.")
        return text

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        begins_at, ends_at = cleaned.get("begins_at"), cleaned.get("ends_at")
        if begins_at and ends_at and ends_at <= begins_at:
            self.add_error("ends_at", "It would be over before it begins.")
        return cleaned


@admin.register(Banner)
class BannerAdmin(AuditedAdmin):
    """Tells people something at the top of every page."""

    place = 8
    sentence = "What everybody is told at the top of every page, such as maintenance."
    form = BannerForm
    list_display = ("kind", "text", "begins", "ends", "is_shown_now", "changed_by", "changed")
    list_display_links = ("kind", "text")
    fieldsets = (
        (
            None,
            {
                "fields": ("kind", "text", ("begins_at", "ends_at")),
                "description": SafeString(
                    "A banner tells people, and stops nothing: actions can still be sent. Everybody sees it at the top "
                    "of every page, signed in or not. To keep actions from being sent, start the server with "
                    "TMS_PASSIVE."
                ),
            },
        ),
    )

    @admin.display(description="from", ordering="begins_at")
    def begins(self, banner: Banner) -> str:
        return shown_time(banner.begins_at) if banner.begins_at else "at once"

    @admin.display(description="until", ordering="ends_at")
    def ends(self, banner: Banner) -> str:
        return shown_time(banner.ends_at) if banner.ends_at else "it is deleted"

    @admin.display(description="shown now", boolean=True)
    def is_shown_now(self, banner: Banner) -> bool:
        return banner.is_shown(timezone.now())

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, banner: Banner) -> str:
        return shown_time(banner.changed_at)

    def facts_of(self, row: Any) -> dict[str, Any]:
        values = {name: getattr(row, name) for name in FACTS}
        return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.changed_by, obj.changed_at = request.user.get_username(), timezone.now()
        super().save_model(request, obj, form, change)
        transaction.on_commit(banners.forget, using="default")

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        transaction.on_commit(banners.forget, using="default")
        return super().log_deletions(request, queryset)
