"""Pages about actions on servers, mounted at /actions/."""

from django.urls import URLPattern, URLResolver, path

from servers.actions.web import asking, progress, snapshots

app_name = "actions"
urlpatterns: list[URLPattern | URLResolver] = [
    path("new", asking.new, name="new"),
    path("<uuid:pk>/", progress.page, name="batch"),
    path("rows/<uuid:pk>", progress.line, name="line"),
    path("snapshots/<uuid:pk>/", snapshots.page, name="snapshots"),
]
