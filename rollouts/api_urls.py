from django.urls import include, path
from rest_framework.routers import SimpleRouter

from rollouts import api, api_mining

router = SimpleRouter()
router.register("scenarios", api.ScenarioViewSet, basename="api-scenario")
router.register("start-frames", api.StartFrameViewSet, basename="api-start-frame")
router.register("rollouts", api.RolloutViewSet, basename="api-rollout")
router.register("policy-versions", api.PolicyVersionViewSet, basename="api-policy-version")
router.register("mining-runs", api_mining.MiningRunViewSet, basename="api-mining-run")
router.register("mining-candidates", api_mining.MiningCandidateViewSet, basename="api-mining-candidate")

urlpatterns = [
    path("mining/coverage/", api_mining.CoverageView.as_view(), name="api-mining-coverage"),
    path("", include(router.urls)),
]
