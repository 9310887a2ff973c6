"""The provider API's accounts, mounted at /api/provider/v1/."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
