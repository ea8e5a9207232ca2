from django.urls import path

from audit import api

urlpatterns = [
    path("api/audit/customer/<path:cid>", api.customer, name="api_audit_customer"),
]
