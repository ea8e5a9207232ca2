from django.urls import include, path

from setactions import api, attempt_views, health, views

urlpatterns = [
    path("", include("setactions.batches.urls")),
    path("", views.new_action, name="new_action"),
    path("review/", views.review, name="review"),
    path("send/", views.send, name="send"),
    path("edit/", views.edit, name="edit"),
    path("attempts/<uuid:attempt_id>/", attempt_views.attempt, name="attempt"),
    path("attempts/<uuid:attempt_id>/check/", attempt_views.check, name="attempt_check"),
    path("attempts/<uuid:attempt_id>/decide/", attempt_views.decide, name="attempt_decide"),
    path("attempts/<uuid:attempt_id>/repair/", attempt_views.repair, name="attempt_repair"),
    path("attempts/<uuid:attempt_id>/unknown.csv", attempt_views.ids_csv, {"which": "unknown"}, name="unknown_csv"),
    path("attempts/<uuid:attempt_id>/known.csv", attempt_views.ids_csv, {"which": "known"}, name="known_csv"),
    path("attempts/<uuid:attempt_id>/all.csv", attempt_views.ids_csv, {"which": "all"}, name="all_csv"),
    path("proxy_fetch", api.proxy_fetch, name="proxy_fetch"),
    path("health", health.health, name="health"),
]
