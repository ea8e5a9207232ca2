from django.urls import path

from jobs import api, views

urlpatterns = [
    path("jobs/", views.job_list, name="job_list"),
    path("jobs/<uuid:job_id>/", views.job_detail, name="job_detail"),
    path("jobs/<uuid:job_id>/customers.csv", views.customers_csv, name="job_customers_csv"),
    path("api/jobs/mine", api.mine, name="api_jobs_mine"),
    path("api/jobs/<uuid:job_id>", api.detail, name="api_job"),
    path("api/jobs/<uuid:job_id>/customers", api.customers, name="api_job_customers"),
]
