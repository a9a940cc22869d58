from django.urls import path

from core.views import audit, health, home, jobs, media, people

app_name = "core"

urlpatterns = [
    path("", home.home, name="home"),
    path("sign-in/", people.sign_in, name="sign_in"),
    path("sign-in/link/<str:token>/", people.sign_in_link, name="sign_in_link"),
    path("sign-out/", people.sign_out, name="sign_out"),
    path("account/", people.account, name="account"),
    path("account/password/", people.change_password, name="change_password"),
    path("account/tokens/", people.create_token, name="create_token"),
    path("account/tokens/<int:token_id>/revoke/", people.revoke_token, name="revoke_token"),
    path("people/", people.people, name="people"),
    path("people/<int:user_id>/", people.person, name="person"),
    path("people/<int:user_id>/link/", people.create_link, name="create_link"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/check/", jobs.check_workers, name="check_workers"),
    path("jobs/<uuid:job_id>/", jobs.job, name="job"),
    path("jobs/<uuid:job_id>/cancel/", jobs.cancel, name="cancel_job"),
    path("jobs/<uuid:job_id>/retry/", jobs.retry, name="retry_job"),
    path("audit/", audit.audit, name="audit"),
    path("media/<str:sha256>", media.media, name="media"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
