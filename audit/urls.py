from django.urls import path

from audit import api, views
from audit.accounts import late_posts, own_password, session_pages, sign_in
from audit.accounts.oidc import views as oidc
from audit.accounts.second_factors.page import SecondFactor
from audit.transparency import api as transparency

urlpatterns = [
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("oidc/", oidc.begin, name="oidc"),
    path("oidc/callback/", oidc.callback, name="oidc_callback"),
    path("oidc/signed-out/", oidc.signed_out, name="oidc_signed_out"),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
    path("keep/", late_posts.keep_form, name="keep_form"),
    path("password/", own_password.ChangePassword.as_view(), name="password_change"),
    path("second-factor/", SecondFactor.as_view(), name="second_factor"),
    path("sessions/", session_pages.OwnSessions.as_view(), name="own_sessions"),
    # Before the admin's own pages of these names, which the audit would not hear of.
    path("admin/login/", sign_in.admin_login, name="admin_login"),
    path("admin/logout/", sign_in.SignOut.as_view(), name="admin_logout"),
    path("admin/password_change/", own_password.ChangePassword.as_view(), name="admin_password_change"),
    path("attempts/<uuid:attempt_id>/evidence.zip", views.evidence, name="evidence"),
    path("api/session", late_posts.session, name="api_session"),
    path("api/audit/customer/<path:cid>", api.customer, name="api_audit_customer"),
    path("api/audit/checkpoint", transparency.checkpoint, name="api_audit_checkpoint"),
    path("api/audit/consistency", transparency.consistency, name="api_audit_consistency"),
]
