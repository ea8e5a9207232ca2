from django.urls import path

from setactions.batches import control_views, views

urlpatterns = [
    path("batches/", views.batch_list, name="batch_list"),
    path("batches/start/", control_views.start, name="batch_start"),
    path("batches/<uuid:batch_id>/", views.batch, name="batch"),
    path("batches/<uuid:batch_id>/progress/", views.progress, name="batch_progress"),
    path("batches/<uuid:batch_id>/pause/", control_views.pause, name="batch_pause"),
    path("batches/<uuid:batch_id>/stop/", control_views.stop, name="batch_stop"),
    path("batches/<uuid:batch_id>/resume/", control_views.resume, name="batch_resume"),
    path("batches/<uuid:batch_id>/rest/", control_views.rest, name="batch_rest"),
    path("batches/<uuid:batch_id>/report.csv", views.report_csv, name="batch_report"),
    path("batches/<uuid:batch_id>/unknown.csv", views.unknown_csv, name="batch_unknown_csv"),
]
