from django.urls import path

from labeling.views import annotator, quality, results

app_name = "labeling"

urlpatterns = [
    path("label/", annotator.compare, name="compare"),
    path("label/worker.js", annotator.worker, name="worker"),
    path("label/guide/", annotator.guide, name="guide"),
    path("label/guide/read/", annotator.guide_read, name="guide_read"),
    path("label/stats/", annotator.stats, name="stats"),
    path("leaderboard/", results.leaderboard, name="leaderboard"),
    path("exports/", results.exports_page, name="exports"),
    path("annotators/", quality.quality, name="quality"),
    path("annotators/fit/", quality.fit, name="fit"),
    path("annotators/fill/", quality.fill, name="fill"),
    path("annotators/gold/", quality.gold, name="gold"),
    path("annotators/settings/", quality.project, name="project"),
    path("annotators/webhooks/", quality.webhooks, name="webhooks"),
    path("annotators/webhooks/<int:webhook_id>/switch/", quality.webhook_switch, name="webhook_switch"),
    path("annotators/exclusions/<int:exclusion_id>/lift/", quality.lift, name="lift"),
    path("annotators/comparisons/<int:comparison_id>/retire/", quality.retire, name="retire"),
    path("annotators/comparisons/<int:comparison_id>/unflag/", quality.unflag, name="unflag"),
    path("annotators/<int:user_id>/", quality.annotator, name="annotator"),
    path("annotators/<int:user_id>/exclude/", quality.exclude, name="exclude"),
    path("annotators/<int:user_id>/retry/", quality.retry, name="retry"),
    path("annotators/<int:user_id>/waive/", quality.waive, name="waive"),
]
