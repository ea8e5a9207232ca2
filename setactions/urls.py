from django.urls import include, path

from setactions import api
from setactions.operations import health
from setactions.pages import attempt, new_action

urlpatterns = [
    path("", include("setactions.batches.urls")),
    path("", new_action.new_action, name="new_action"),
    path("review/", new_action.review, name="review"),
    path("send/", new_action.send, name="send"),
    path("edit/", new_action.edit, name="edit"),
    path("attempts/<uuid:attempt_id>/", attempt.attempt, name="attempt"),
    path("attempts/<uuid:attempt_id>/check/", attempt.check, name="attempt_check"),
    path("attempts/<uuid:attempt_id>/decide/", attempt.decide, name="attempt_decide"),
    path("attempts/<uuid:attempt_id>/repair/", attempt.repair, name="attempt_repair"),
    path("attempts/<uuid:attempt_id>/unknown.csv", attempt.ids_csv, {"which": "unknown"}, name="unknown_csv"),
    path("attempts/<uuid:attempt_id>/known.csv", attempt.ids_csv, {"which": "known"}, name="known_csv"),
    path("attempts/<uuid:attempt_id>/all.csv", attempt.ids_csv, {"which": "all"}, name="all_csv"),
    path("proxy_fetch", api.proxy_fetch, name="proxy_fetch"),
    path("health", health.health, name="health"),
]
