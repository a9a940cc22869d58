from django.urls import include, path
from rest_framework.routers import SimpleRouter

from rollouts import api

router = SimpleRouter()
router.register("scenarios", api.ScenarioViewSet, basename="api-scenario")
router.register("start-frames", api.StartFrameViewSet, basename="api-start-frame")
router.register("rollouts", api.RolloutViewSet, basename="api-rollout")
router.register("policy-versions", api.PolicyVersionViewSet, basename="api-policy-version")

urlpatterns = [path("", include(router.urls))]
