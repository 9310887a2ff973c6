"""What a machine without an agent fetches, mounted at the root."""

from django.urls import URLPattern, URLResolver, path

from servers.installs import script
from servers.installs.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path(script.SCRIPT_PATH.removeprefix("/"), views.install_script),
    path(script.AGENT_PATH.removeprefix("/"), views.agent),
]
