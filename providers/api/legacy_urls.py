"""The calls of 2012, mounted at /scalex/acl/."""

from django.urls import path

from providers.api import legacy

urlpatterns = [
    path("createuser", legacy.create_user, name="legacy-createuser"),
    path("customerInfo", legacy.customer_info, name="legacy-customer-info"),
    path("customerList", legacy.customer_list, name="legacy-customer-list"),
]
