"""Pages about machines that nobody knows yet, mounted at /machines/."""

from django.urls import URLPattern, URLResolver, path

from servers.agents.web import machines

app_name = "agents"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", machines.pending, name="machines"),
    path("<uuid:pk>/approve", machines.approve, name="approve"),
    path("<uuid:pk>/refuse", machines.refuse, name="refuse"),
    path("by-network/<uuid:pk>", machines.by_network, name="by-network"),
]
