"""HTTP and websockets in one ASGI application."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http = get_asgi_application()

from django.urls import path, reverse  # noqa: E402  (models must be loaded first)

from core.consumers import EventsConsumer  # noqa: E402

reverse("core:home")  # loads every page's code now: otherwise the first person after a start waits half a second for it

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/events/", EventsConsumer.as_asgi())]))),
    }
)
