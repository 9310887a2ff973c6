"""The provider API's accounts, mounted at /api/provider/v1/."""

from django.urls import path

from accounts.api import views

urlpatterns = [
    path("customers/<ext:external_id>/accounts", views.Accounts.as_view(), name="api-accounts"),
    path("customers/<ext:external_id>/accounts/<ext:account_id>", views.OneAccount.as_view(), name="api-account"),
]
