from django.urls import path, register_converter
from django.urls.converters import StringConverter

from setactions import api, live_api, status_api
from setactions.operations import health, metrics
from setactions.pages import (
    activity,
    app_runs,
    attempt,
    batch_controls,
    batches,
    comparison,
    customers,
    get_token,
    help,
    in_doubt,
    job_states,
    new_action,
    review_steps,
    status,
)


class CustomerConverter(StringConverter):
    """Any customer id, with slashes and even line breaks: TMS may list more than may be sent."""

    regex = r"[\s\S]+"


register_converter(CustomerConverter, "customer")

urlpatterns = [
    # Asked for most often; Django tries one after the other.
    path("proxy_fetch", api.proxy_fetch, name="proxy_fetch"),
    path("health", health.health, name="health"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", new_action.new_action, name="new_action"),
    path("review/", new_action.review, name="review"),
    path("review/<uuid:review_id>/", review_steps.review_page, name="review_page"),
    path("review/<uuid:review_id>/send/", review_steps.send, name="send"),
    path("review/<uuid:review_id>/start/", batch_controls.start, name="batch_start"),
    path("review/<uuid:review_id>/edit/", review_steps.edit, name="edit"),
    path("review/<uuid:review_id>/leave-out/", review_steps.leave_out, name="leave_out"),
    path("review/<uuid:review_id>/compare/", comparison.compare, name="compare"),
    path("review/<uuid:review_id>/customers.csv", comparison.customers_csv, name="compare_csv"),
    path("review/<uuid:review_id>/leave-out-there/", comparison.leave_out_there, name="leave_out_there"),
    path("help/", help.help_page, name="help"),
    path("token/", get_token.get_token, name="get_token"),
    path("attempts/<uuid:attempt_id>/", attempt.attempt, name="attempt"),
    path(
        "attempts/<uuid:attempt_id>/progress/",
        attempt.attempt,
        {"template": "setactions/_attempt.html"},
        name="attempt_progress",
    ),
    path("attempts/<uuid:attempt_id>/check/", attempt.check, name="attempt_check"),
    path("attempts/<uuid:attempt_id>/decide/", attempt.decide, name="attempt_decide"),
    path("attempts/<uuid:attempt_id>/edit/", attempt.edit, name="attempt_edit"),
    path("attempts/<uuid:attempt_id>/repair/", attempt.repair, name="attempt_repair"),
    path("attempts/<uuid:attempt_id>/unknown.csv", attempt.ids_csv, {"which": "unknown"}, name="unknown_csv"),
    path("attempts/<uuid:attempt_id>/known.csv", attempt.ids_csv, {"which": "known"}, name="known_csv"),
    path("attempts/<uuid:attempt_id>/all.csv", attempt.ids_csv, {"which": "all"}, name="all_csv"),
    path("jobs/<uuid:job_id>/verify/", job_states.verify, name="job_verify"),
    path("jobs/<uuid:job_id>/rest/", job_states.rest, name="job_rest"),
    path("api/jobs/<uuid:job_id>/actions", live_api.job_actions, name="api_job_actions"),
    path("api/jobs/<uuid:job_id>/appstatus", live_api.job_appstatus, name="api_job_appstatus"),
    path("activity/", activity.activity, name="activity"),
    path("activity/activity.csv", activity.activity_csv, name="activity_csv"),
    path("in-doubt/", in_doubt.in_doubt, name="in_doubt"),
    path("batches/", batches.batch_list, name="batch_list"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path(
        "batches/<uuid:batch_id>/progress/",
        batches.batch,
        {"template": "batches/_progress.html"},
        name="batch_progress",
    ),
    path("batches/<uuid:batch_id>/pause/", batch_controls.control, {"verb": "pause"}, name="batch_pause"),
    path("batches/<uuid:batch_id>/stop/", batch_controls.control, {"verb": "stop"}, name="batch_stop"),
    path("batches/<uuid:batch_id>/resume/", batch_controls.control, {"verb": "resume"}, name="batch_resume"),
    path("batches/<uuid:batch_id>/rest/", batch_controls.control, {"verb": "rest"}, name="batch_rest"),
    path("batches/<uuid:batch_id>/verify/", job_states.verify_batch, name="batch_verify"),
    path("batches/<uuid:batch_id>/report.csv", batches.report_csv, name="batch_report"),
    path("batches/<uuid:batch_id>/unknown.csv", batches.unknown_csv, name="batch_unknown_csv"),
    path("customers/", customers.find_customer, name="find_customer"),
    path("customers/<customer:cid>/", customers.customer, name="customer"),
    path("read-customer/", customers.read_customer, name="read_customer"),
    path("api/status/<str:name>", status_api.status, name="api_status"),
    path("status/", status.clusters, name="live_clusters"),
    path("status/<str:name>/", status.live_status, name="live_status"),
    path("status/<str:name>/customers.csv", status.customers_csv, name="live_status_csv"),
    path("status/<str:name>/read/", status.read, name="live_status_read"),
    path("status/<str:name>/list/", status.keep, name="live_status_list"),
    path("status/<str:name>/answer/", status.answer, name="live_status_answer"),
    path("apps/", app_runs.app_runs, name="app_runs"),
    path("apps/start/", app_runs.start, name="app_start"),
    path("apps/<uuid:run_id>/", app_runs.app_run, name="app_run"),
    path(
        "apps/<uuid:run_id>/progress/",
        app_runs.app_run,
        {"template": "app_status/_progress.html"},
        name="app_run_progress",
    ),
    path("apps/<uuid:run_id>/pause/", app_runs.control, {"verb": "pause"}, name="app_run_pause"),
    path("apps/<uuid:run_id>/stop/", app_runs.control, {"verb": "stop"}, name="app_run_stop"),
    path("apps/<uuid:run_id>/resume/", app_runs.control, {"verb": "resume"}, name="app_run_resume"),
    path("apps/<uuid:run_id>/customers.csv", app_runs.customers_csv, name="app_run_csv"),
]
