"""Where everything is. Each app brings its pages (`urls.py`) and its API (`api_urls.py`)."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from core.views import docs

APPS = ("core", "rollouts", "labeling", "training")

urlpatterns: list[URLPattern | URLResolver] = [
    *(path("api/v1/", include(f"{app}.api_urls")) for app in APPS),
    path("api/v1/schema/", docs.schema, name="api_schema"),
    path("api/v1/docs/", docs.browse, name="api_docs"),
    *([path("sign-in/with/", include("allauth.urls"))] if settings.OIDC_ISSUER else []),
    *(path("", include(f"{app}.urls")) for app in APPS),
]

handler400 = "core.views.errors.bad_request"
handler403 = "core.views.errors.forbidden"
handler404 = "core.views.errors.not_found"
handler500 = "core.views.errors.server_error"
