"""Providers (cloud hosts), their keys and endpoints, their customers, and what goes to people and programs."""

from providers.models.calls import ApiCall, Replay
from providers.models.customer import ActingFor, Customer, Membership
from providers.models.doors import IdentityServer, SignInLink
from providers.models.keys import ApiToken, ProviderKey
from providers.models.mail import Brand, Mail, MailTemplate
from providers.models.provider import CloudEndpoint, Provider, ProviderMember
from providers.models.webhooks import Delivery, Event, Webhook

__all__ = [
    "ActingFor",
    "ApiCall",
    "ApiToken",
    "Brand",
    "CloudEndpoint",
    "Customer",
    "Delivery",
    "Event",
    "IdentityServer",
    "Mail",
    "MailTemplate",
    "Membership",
    "Provider",
    "ProviderKey",
    "ProviderMember",
    "Replay",
    "SignInLink",
    "Webhook",
]
