"""Every URL of the site; the apps own theirs."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

admin.site.site_header = admin.site.site_title = "TMS Dashboard"
admin.site.index_title = "Audit and administration"
admin.site.enable_nav_sidebar = False  # its place belongs to the lists

urlpatterns = [
    path("", include("setactions.urls")),
    path("", include("jobs.urls")),
    path("", include("audit.urls")),
    path(
        "login/",
        auth_views.LoginView.as_view(template_name="login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]

handler400 = "tmsdash.errors.bad_request"
handler403 = "tmsdash.errors.permission_denied"
handler404 = "tmsdash.errors.not_found"
handler500 = "tmsdash.errors.server_error"
