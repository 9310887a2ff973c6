"""Pages about installs, mounted at /installs/."""

from django.urls import URLPattern, URLResolver

app_name = "installs"
urlpatterns: list[URLPattern | URLResolver] = []
