from django.urls import path

from setactions import api, views

urlpatterns = [
    path("", views.new_action, name="new_action"),
    path("review/", views.review, name="review"),
    path("send/", views.send, name="send"),
    path("edit/", views.edit, name="edit"),
    path("attempts/<uuid:attempt_id>/", views.attempt, name="attempt"),
    path("proxy_fetch", api.proxy_fetch, name="proxy_fetch"),
]
