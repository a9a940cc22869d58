from django.urls import include, path
from rest_framework.routers import SimpleRouter

from training import api

router = SimpleRouter()
router.register("rounds", api.RoundViewSet, basename="api-round")
router.register("round-schedules", api.RoundScheduleViewSet, basename="api-round-schedule")
router.register("evaluations", api.EvaluationViewSet, basename="api-evaluation")

urlpatterns = [
    path("", include(router.urls)),
    path("policy-versions/<int:pk>/activate/", api.ActivateView.as_view(), name="api-policy-version-activate"),
]
