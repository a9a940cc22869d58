from django.urls import path
from rest_framework.routers import SimpleRouter

from core.api.views import EventsView, JobViewSet

router = SimpleRouter()
router.register("jobs", JobViewSet)

urlpatterns = [path("events/", EventsView.as_view()), *router.urls]
