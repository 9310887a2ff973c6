"""Pages about servers and activity, mounted at /."""

from django.urls import URLPattern, URLResolver, path

from servers.web import activity, charts, overview, server

app_name = "servers"
urlpatterns: list[URLPattern | URLResolver] = [
    path("servers/", overview.page, name="list"),
    path("servers/<uuid:pk>/", server.page, name="server"),
    path("servers/<uuid:pk>/row", overview.row, name="row"),
    path("servers/<uuid:pk>/samples", charts.drawn, name="samples"),
    path("servers/<uuid:pk>/remove-agent", server.remove_agent, name="remove-agent"),
    path("activity/", activity.page, name="activity"),
]
