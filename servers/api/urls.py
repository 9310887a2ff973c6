"""The provider API's servers, mounted at /api/provider/v1/."""

from django.urls import path

from servers.api import sandbox, views

urlpatterns = [
    path("customers/<ext:external_id>/servers", views.Servers.as_view(), name="api-servers"),
    path(
        "customers/<ext:external_id>/accounts/<ext:account_id>/join-tokens",
        views.JoinTokens.as_view(),
        name="api-join-tokens",
    ),
    path(
        "sandbox/customers/<ext:external_id>/servers/<ext:server_id>/manage",
        sandbox.Manage.as_view(),
        name="api-sandbox-manage",
    ),
]
