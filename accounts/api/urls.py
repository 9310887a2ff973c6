"""The provider API's accounts, mounted at /api/provider/v1/."""

from django.urls import path

from accounts.api import imports, views

urlpatterns = [
    path("imports", imports.Imports.as_view(), name="api-imports"),
    path("imports/<uuid:pk>", imports.OneImport.as_view(), name="api-import"),
    path("imports/<uuid:pk>/lines", imports.ImportLines.as_view(), name="api-import-lines"),
    path("customers/<ext:external_id>/accounts", views.Accounts.as_view(), name="api-accounts"),
    path("customers/<ext:external_id>/accounts/<ext:account_id>", views.OneAccount.as_view(), name="api-account"),
    path(
        "customers/<ext:external_id>/accounts/<ext:account_id>/pushes",
        views.Pushes.as_view(),
        name="api-account-pushes",
    ),
]
