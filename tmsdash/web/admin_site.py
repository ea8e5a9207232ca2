"""The site of the admin: its first page says what each list is for."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.template.response import TemplateResponse

MAIN_LISTS = 3
EMPTY = "–"  # what stands for no value


class AdminSite(admin.AdminSite):
    """Django's own, with a first page that leads to the main lists, and to all others below them."""

    site_header = site_title = "TMS Dashboard"
    index_title = "Admin"
    enable_nav_sidebar = False
    empty_value_display = EMPTY

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the lists that the user may see."""
        return super().index(request, self._lists(request) | (extra_context or {}))

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the lists of one app that the user may see."""
        return super().app_index(request, app_label, self._lists(request, app_label) | (extra_context or {}))

    def _lists(self, request: HttpRequest, app_label: str | None = None) -> dict[str, Any]:
        models: list[dict[str, Any]] = [
            model | {"sentence": self._admin_of(model).sentence}
            for app in self.get_app_list(request, app_label)
            for model in app["models"]
            if model["admin_url"]
        ]
        models.sort(key=lambda model: self._admin_of(model).place)
        main = [model for model in models if self._admin_of(model).place <= MAIN_LISTS]
        return {"main_lists": main, "other_lists": models[len(main) :]}

    def _admin_of(self, model: dict[str, Any]) -> Any:
        return self.get_model_admin(model["model"])


class Config(AdminConfig):
    default_site = "tmsdash.web.admin_site.AdminSite"

    def ready(self) -> None:
        """Collect the lists of all apps but django-allauth's, whose tables nobody changes by hand."""
        super().ready()
        admin.site.unregister([model for model in admin.site._registry if model.__module__.startswith("allauth.")])
