from django.urls import path

from setactions.pages import batch_controls, batches

urlpatterns = [
    path("batches/", batches.batch_list, name="batch_list"),
    path("batches/start/", batch_controls.start, name="batch_start"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/progress/", batches.progress, name="batch_progress"),
    path("batches/<uuid:batch_id>/pause/", batch_controls.pause, name="batch_pause"),
    path("batches/<uuid:batch_id>/stop/", batch_controls.stop, name="batch_stop"),
    path("batches/<uuid:batch_id>/resume/", batch_controls.resume, name="batch_resume"),
    path("batches/<uuid:batch_id>/rest/", batch_controls.rest, name="batch_rest"),
    path("batches/<uuid:batch_id>/report.csv", batches.report_csv, name="batch_report"),
    path("batches/<uuid:batch_id>/unknown.csv", batches.unknown_csv, name="batch_unknown_csv"),
]
