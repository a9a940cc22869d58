from django.urls import path

from training.views import evaluations, rounds, versions

app_name = "training"

urlpatterns = [
    path("rounds/", rounds.rounds, name="rounds"),
    path("rounds/new/", rounds.round_new, name="round_new"),
    path("rounds/new/preview/", rounds.round_preview, name="round_preview"),
    path("rounds/schedules/", rounds.schedule_save, name="schedule_save"),
    path("rounds/schedules/<int:pk>/switch/", rounds.schedule_switch, name="schedule_switch"),
    path("rounds/<int:pk>/", rounds.round_page, name="round"),
    path("rounds/<int:pk>/live/", rounds.round_live, name="round_live"),
    path("rounds/<int:pk>/cancel/", rounds.round_cancel, name="round_cancel"),
    path("rounds/<int:pk>/resume/", rounds.round_resume, name="round_resume"),
    path("rounds/<int:pk>/override/", rounds.round_override, name="round_override"),
    path("versions/", versions.versions, name="versions"),
    path("versions/<int:pk>/", versions.version, name="version"),
    path("versions/<int:pk>/activate/", versions.version_activate, name="version_activate"),
    path("evaluations/", evaluations.evaluations, name="evaluations"),
    path("evaluations/new/", evaluations.evaluation_new, name="evaluation_new"),
    path("evaluations/<int:pk>/", evaluations.evaluation, name="evaluation"),
    path("evaluations/<int:pk>/episodes.csv", evaluations.evaluation_csv, name="evaluation_csv"),
    path("evaluations/<int:pk>/scenarios.csv", evaluations.scenarios_csv, name="scenarios_csv"),
    path("evaluations/<int:pk>/contacts.csv", evaluations.contacts_csv, name="contacts_csv"),
    path("evaluations/<int:pk>/contacts.png", evaluations.contacts_png, name="contacts_png"),
]
