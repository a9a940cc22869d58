"""The OpenAPI document and a page to read and try it."""

from csp.decorators import csp_update
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from core.people import ROLES, role_required

schema = SpectacularAPIView.as_view()

# Swagger UI brings its own style elements; its script stands in a file, so scripts stay as strict as everywhere.
_relaxed = csp_update({"style-src": ["'unsafe-inline'"], "font-src": ["data:"]})
browse = role_required(*ROLES)(_relaxed(SpectacularSwaggerSplitView.as_view(url_name="api_schema")))
