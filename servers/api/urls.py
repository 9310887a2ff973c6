"""The provider API's servers, mounted at /api/provider/v1/."""

from django.urls import path

from servers.api import images, sandbox, views

urlpatterns = [
    path("customers/<ext:external_id>/servers", views.Servers.as_view(), name="api-servers"),
    path(
        "customers/<ext:external_id>/accounts/<ext:account_id>/join-tokens",
        views.JoinTokens.as_view(),
        name="api-join-tokens",
    ),
    path("agent-packages", images.AgentPackages.as_view(), name="api-agent-packages"),
    path("agent-packages/<str:kind>", images.OneAgentPackage.as_view(), name="api-agent-package"),
    path(
        "sandbox/customers/<ext:external_id>/servers/<ext:server_id>/manage",
        sandbox.Manage.as_view(),
        name="api-sandbox-manage",
    ),
]
