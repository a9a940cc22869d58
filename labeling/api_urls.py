from django.urls import path

from .api import loop, results

app_name = "labeling_api"

urlpatterns = [
    path("labeling/next/", loop.NextView.as_view(), name="next"),
    path("labeling/leases/heartbeat/", loop.HeartbeatView.as_view(), name="heartbeat"),
    path("labeling/leases/return/", loop.ReturnView.as_view(), name="return"),
    path("labeling/choices/", loop.ChoiceView.as_view(), name="choices"),
    path("labeling/choices/<uuid:choice>/undo/", loop.UndoView.as_view(), name="undo"),
    path("labeling/skips/", loop.SkipView.as_view(), name="skips"),
    path("labeling/me/", loop.MeView.as_view(), name="me"),
    path("labeling/me/preferences/", loop.PreferencesView.as_view(), name="preferences"),
    path("labeling/export/", results.ExportView.as_view(), name="export"),
    path("labeling/export/card/", results.CardView.as_view(), name="card"),
    path("labeling/leaderboard/", results.LeaderboardView.as_view(), name="leaderboard"),
    path("labeling/quality/", results.QualityView.as_view(), name="quality"),
]
