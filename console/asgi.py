"""The ASGI entry: the agents' hot path first, then Django for HTTP, and Channels for the browsers' hints."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django_app = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  # needs the apps to be loaded
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402

from console.consumers import HintsConsumer  # noqa: E402
from servers.agents.lean.front import Front  # noqa: E402

router = ProtocolTypeRouter(
    {
        "http": django_app,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/hints/", HintsConsumer.as_asgi())]))
        ),
    }
)
application = Front(router)
