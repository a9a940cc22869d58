from django.urls import path

from rollouts.views import frames, mining, rollouts, saved, scenarios

app_name = "rollouts"

urlpatterns = [
    path("scenarios/", scenarios.scenarios, name="scenarios"),
    path("scenarios/new/", scenarios.scenario_new, name="scenario_new"),
    path("scenarios/export/", scenarios.scenarios_export, name="scenarios_export"),
    path("scenarios/import/", scenarios.scenarios_import, name="scenarios_import"),
    path("scenarios/set-state/", scenarios.scenarios_state, name="scenarios_state"),
    path("scenarios/<slug:slug>/", scenarios.scenario, name="scenario"),
    path("scenarios/<slug:slug>/edit/", scenarios.scenario_edit, name="scenario_edit"),
    path("scenarios/<slug:slug>/state/", scenarios.scenario_state, name="scenario_state"),
    path("scenarios/<slug:slug>/duplicate/", scenarios.scenario_duplicate, name="scenario_duplicate"),
    path("scenarios/<slug:slug>/vary/", scenarios.scenario_vary, name="scenario_vary"),
    path("scenarios/<slug:slug>/imagine/", frames.frames_imagine, name="frames_imagine"),
    path("scenarios/<slug:slug>/capture/", frames.frames_capture, name="frames_capture"),
    path("scenarios/<slug:slug>/upload/", frames.frames_upload, name="frames_upload"),
    path("scenarios/<slug:slug>/arriving/", frames.frames_arriving, name="frames_arriving"),
    path("scenarios/<slug:slug>/verify/", mining.scenario_verify, name="scenario_verify"),
    path("start-frames/", frames.start_frames, name="start_frames"),
    path("start-frames/<int:pk>/", frames.start_frame, name="start_frame"),
    path("start-frames/<int:pk>/like/", frames.frames_like, name="frames_like"),
    path("start-frames/<int:pk>/review/", frames.start_frame_review, name="start_frame_review"),
    path("rollouts/", rollouts.rollouts, name="rollouts"),
    path("rollouts/sample/", rollouts.rollouts_sample, name="rollouts_sample"),
    path("rollouts/<int:pk>/", rollouts.rollout, name="rollout"),
    path("rollouts/<int:pk>/continue/", rollouts.rollout_continue, name="rollout_continue"),
    path("mining/", mining.mining, name="mining"),
    path("mining/start/", mining.mining_start, name="mining_start"),
    path("mining/<int:pk>/", mining.mining_run, name="mining_run"),
    path("mining/<int:pk>/verify/", mining.mining_run_verify, name="mining_run_verify"),
    path("mining/candidates/decide/", mining.candidates_decide, name="candidates_decide"),
    path("mining/candidates/<int:pk>/decide/", mining.candidate_decide, name="candidate_decide"),
    path("saved-views/", saved.saved_view_create, name="saved_view_create"),
    path("saved-views/<int:pk>/delete/", saved.saved_view_delete, name="saved_view_delete"),
]
