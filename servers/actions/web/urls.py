"""Pages about actions on servers, mounted at /."""

from django.urls import URLPattern, URLResolver, path

from servers.actions.web import asking, creating, progress, secret, snapshots

app_name = "actions"
urlpatterns: list[URLPattern | URLResolver] = [
    path("servers/new", creating.page, name="create"),
    path("actions/new", asking.new, name="new"),
    path("actions/<uuid:pk>/", progress.page, name="batch"),
    path("actions/rows/<uuid:pk>", progress.line, name="line"),
    path("actions/rows/<uuid:pk>/password", secret.page, name="password"),
    path("actions/snapshots/<uuid:pk>/", snapshots.page, name="snapshots"),
]
