"""Pages about cloud accounts, mounted at /accounts/."""

from django.urls import URLPattern, URLResolver, path

from accounts.web import pages

app_name = "accounts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", pages.overview, name="list"),
    path("<uuid:pk>/", pages.account, name="account"),
    path("<uuid:pk>/sync", pages.sync, name="sync"),
]
