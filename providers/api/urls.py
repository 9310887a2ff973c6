"""The provider API's customers, mounted at /api/provider/v1/."""

from django.urls import path

from providers.api import views

urlpatterns = [
    path("customers", views.Customers.as_view(), name="api-customers"),
    path("customers/<ext:external_id>", views.OneCustomer.as_view(), name="api-customer"),
    path("customers/<ext:external_id>/suspend", views.Suspend.as_view(), name="api-customer-suspend"),
    path("customers/<ext:external_id>/resume", views.Resume.as_view(), name="api-customer-resume"),
    path("customers/<ext:external_id>/resend-mail", views.ResendMail.as_view(), name="api-customer-resend-mail"),
    path("customers/<ext:external_id>/handoff", views.HandOff.as_view(), name="api-customer-handoff"),
    path("endpoints", views.Endpoints.as_view(), name="api-endpoints"),
]
