"""The provider API's customers, mounted at /api/provider/v1/."""

from django.urls import path

from providers.api import mails, sandbox, views, webhooks

urlpatterns = [
    path("customers", views.Customers.as_view(), name="api-customers"),
    path("customers/<ext:external_id>", views.OneCustomer.as_view(), name="api-customer"),
    path("customers/<ext:external_id>/suspend", views.Suspend.as_view(), name="api-customer-suspend"),
    path("customers/<ext:external_id>/resume", views.Resume.as_view(), name="api-customer-resume"),
    path("customers/<ext:external_id>/resend-mail", views.ResendMail.as_view(), name="api-customer-resend-mail"),
    path("customers/<ext:external_id>/handoff", views.HandOff.as_view(), name="api-customer-handoff"),
    path("webhooks", webhooks.Webhooks.as_view(), name="api-webhooks"),
    path("webhooks/<uuid:webhook_id>", webhooks.OneWebhook.as_view(), name="api-webhook"),
    path("webhooks/<uuid:webhook_id>/rotate", webhooks.Rotate.as_view(), name="api-webhook-rotate"),
    path("webhooks/<uuid:webhook_id>/test", webhooks.Test.as_view(), name="api-webhook-test"),
    path("webhooks/<uuid:webhook_id>/deliveries", webhooks.Deliveries.as_view(), name="api-webhook-deliveries"),
    path("deliveries/<uuid:delivery_id>", webhooks.OneDelivery.as_view(), name="api-delivery"),
    path("deliveries/<uuid:delivery_id>/redeliver", webhooks.Redeliver.as_view(), name="api-delivery-redeliver"),
    path("events", webhooks.Events.as_view(), name="api-events"),
    path("event-types", webhooks.EventTypes.as_view(), name="api-event-types"),
    path("mail-templates", mails.Wordings.as_view(), name="api-mail-templates"),
    path("mail-templates/preview", mails.Preview.as_view(), name="api-mail-preview"),
    path("mail-templates/<uuid:pk>", mails.OneWording.as_view(), name="api-mail-template"),
    path("mail-templates/<uuid:pk>/publish", mails.Publish.as_view(), name="api-mail-publish"),
    path("mail-templates/<uuid:pk>/withdraw", mails.Withdraw.as_view(), name="api-mail-withdraw"),
    path("mail-templates/<uuid:pk>/test", mails.SendTest.as_view(), name="api-mail-test"),
    path("sandbox", sandbox.Sandbox.as_view(), name="api-sandbox"),
    path("sandbox/mails", sandbox.Mails.as_view(), name="api-sandbox-mails"),
    path("sandbox/reset", sandbox.Reset.as_view(), name="api-sandbox-reset"),
    path("endpoints", views.Endpoints.as_view(), name="api-endpoints"),
]
