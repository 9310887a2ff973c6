"""The customer API, mounted at /api/v1/."""

from django.urls import path

from servers.api.customer import installs, live, views

urlpatterns = [
    path("servers", views.Servers.as_view(), name="my-servers"),
    path("servers/<uuid:pk>", views.OneServer.as_view(), name="my-server"),
    path("servers/<uuid:pk>/actions", views.ServerActions.as_view(), name="my-server-actions"),
    path("servers/<uuid:pk>/snapshots", live.Snapshots.as_view(), name="my-server-snapshots"),
    path("actions/<uuid:pk>", views.OneAction.as_view(), name="my-action"),
    path("actions/<uuid:pk>/password", live.Password.as_view(), name="my-action-password"),
    path("accounts", views.Accounts.as_view(), name="my-accounts"),
    path("accounts/<uuid:pk>/offers", live.Offers.as_view(), name="my-account-offers"),
    path("installs", installs.Installs.as_view(), name="my-installs"),
    path("installs/<uuid:pk>/go-on", installs.GoOn.as_view(), name="my-install-go-on"),
    path("installs/<uuid:pk>/cancel", installs.Cancel.as_view(), name="my-install-cancel"),
    path("installs/<uuid:pk>/retry", installs.Retry.as_view(), name="my-install-retry"),
    path("installs/<uuid:pk>/confirm-keys", installs.ConfirmKeys.as_view(), name="my-install-confirm-keys"),
    path("installs/<uuid:pk>", installs.OneInstall.as_view(), name="my-install"),
]
