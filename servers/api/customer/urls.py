"""The customer API, mounted at /api/v1/."""

from django.urls import path

from servers.api.customer import live, views

urlpatterns = [
    path("servers", views.Servers.as_view(), name="my-servers"),
    path("servers/<uuid:pk>", views.OneServer.as_view(), name="my-server"),
    path("servers/<uuid:pk>/actions", views.ServerActions.as_view(), name="my-server-actions"),
    path("servers/<uuid:pk>/snapshots", live.Snapshots.as_view(), name="my-server-snapshots"),
    path("actions/<uuid:pk>", views.OneAction.as_view(), name="my-action"),
    path("actions/<uuid:pk>/password", live.Password.as_view(), name="my-action-password"),
    path("accounts", views.Accounts.as_view(), name="my-accounts"),
    path("accounts/<uuid:pk>/offers", live.Offers.as_view(), name="my-account-offers"),
    path("installs", views.Installs.as_view(), name="my-installs"),
    path("installs/<uuid:pk>/go-on", views.GoOn.as_view(), name="my-install-go-on"),
    path("installs/<uuid:pk>", views.OneInstall.as_view(), name="my-install"),
]
