"""Every URL of the site; the apps own theirs."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

from tmsdash.web.display_page import display
from tmsdash.web.errors import nothing_here
from tmsdash.web.favicon import favicon

# For staff, where the tools of development are; named as text, as no module of the site imports them.
STYLES = [path("", include("setactions.devtools.styles.urls"))] if find_spec("setactions.devtools") else []
urlpatterns = [
    path("", include("setactions.urls")),
    path("", include("jobs.urls")),
    path("", include("audit.urls")),  # signing in and out, too
    path("favicon.ico", favicon, name="favicon"),
    path("display/", display, name="display"),
    *STYLES,
    path("admin/r/<path:place>", nothing_here),  # Django's way to an object's page on the site, which none here has
    path("admin/password_change/done/", nothing_here, {"place": ""}),  # own passwords are changed on a page of ours
    path("admin/", admin.site.urls),
]

handler400 = "tmsdash.web.errors.bad_request"
handler403 = "tmsdash.web.errors.permission_denied"
handler404 = "tmsdash.web.errors.not_found"
handler500 = "tmsdash.web.errors.server_error"
