"""The provider API's calls about how mails are worded: drafts, previews, a test, and what is live."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.filters import choice, narrowed, parameters
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from console.lib.api.strict import In
from console.lib.denials import Denied
from providers import letters, mail, wording
from providers.api.base import ProviderView
from providers.api.serializers import MailOut
from providers.models import MailTemplate

KINDS = list(MailTemplate.Kind.choices)
KNOWN = ", ".join(f"{{{{ {name} }}}}" for name in wording.VARIABLES)
TEXT = {
    "subject": "Your servers at {{ provider }}",
    "greeting": "Dear {{ first_name }},",
    "body": "We opened a console for {{ organization }}.\n\nYour team at {{ provider }}",
    "footer": "North Cloud Ltd, Oslo",
    "sender_name": "North Cloud",
    "reply_to": "help@north.example",
    "button": "Choose a password",
    "note": "The link works once, until {{ valid_until }}.",
}
WORDING_ID = "3c1e5a52-6a0c-4c3e-9d0f-0b9a7c5e2f33"
DRAFT = OpenApiExample("A welcome in German", {"kind": "welcome", "locale": "de", **TEXT}, request_only=True)


WORDED = OpenApiExample(
    "A draft",
    {
        "id": WORDING_ID, "kind": "welcome", "locale": "de", "revision": 3, "live": False, **TEXT,
        "created_at": "2025-01-07T09:30:00Z", "published_at": None,
    },
    response_only=True,
)  # fmt: skip
LETTER = OpenApiExample(
    "A mail",
    {
        "sender": "North Cloud <no-reply@console.example>",
        "reply_to": "help@north.example",
        "subject": "Your servers at North Cloud",
        "text": "Dear Ada,\n\nWe opened a console for Engines Ltd.\n…",
        "html": "<!doctype html>…",
    },
    response_only=True,
)
MAILED = OpenApiExample(
    "On its way",
    {"state": "queued", "reason": "", "queued_at": "2025-01-07T09:30:00Z", "ended_at": None},
    response_only=True,
    status_codes=["202"],
)


class WordingIn(In):
    kind = serializers.ChoiceField(choices=KINDS)
    locale = serializers.CharField(
        max_length=12,
        required=False,
        allow_blank=True,
        help_text="Such as de or de-AT; empty: for every other language.",
    )
    subject = serializers.CharField(max_length=200, help_text=f"Variables: {KNOWN}.")
    greeting = serializers.CharField(max_length=200, required=False, allow_blank=True)
    body = serializers.CharField(max_length=10_000, help_text="Blank lines part paragraphs. The button follows it.")
    footer = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    button = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="What the button says; empty: built in, in English."
    )
    note = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text="Below the button; empty: built in, in English."
    )
    sender_name = serializers.CharField(max_length=80, required=False, allow_blank=True)
    reply_to = serializers.CharField(max_length=254, required=False, allow_blank=True)


class WordingOut(serializers.ModelSerializer[MailTemplate]):
    live = serializers.SerializerMethodField(help_text="Whether mails of this kind and language are worded like this.")

    class Meta:
        model = MailTemplate
        fields = (
            "id", "kind", "locale", "revision", "live", "sender_name", "reply_to", "subject", "greeting", "body",
            "footer", "button", "note", "created_at", "published_at",
        )  # fmt: skip

    def get_live(self, template: MailTemplate) -> bool:
        live: set[UUID] = self.context["live"]
        return template.pk in live


class LetterOut(serializers.Serializer[Any]):
    """A mail to a made-up customer."""

    sender = serializers.CharField()
    reply_to = serializers.CharField()
    subject = serializers.CharField()
    text = serializers.CharField()
    html = serializers.CharField()


class WordingFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    kind = choice(KINDS, help_text="Only those of this kind.")

    class Meta:
        model = MailTemplate
        fields = ()


class NewestFirst(Pages):
    fields = ("-created_at", "-id")


class WordingView(ProviderView):
    scopes: ClassVar = {"GET": "mail:read", "POST": "mail:write"}
    in_path: ClassVar = {"id": WORDING_ID}

    def template(self, pk: UUID) -> MailTemplate:
        found: MailTemplate | None = self.provider.mail_templates.filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no mail template with this id.", "mail_template_unknown")
        return found

    def told(self, template: MailTemplate, status: int = 200) -> Response:
        return Response(WordingOut(template, context=self.get_serializer_context()).data, status=status)

    def get_serializer_context(self) -> dict[str, Any]:
        return {"live": {one.pk for one in wording.all_live(self.provider)}}


class Wordings(WordingView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="mail_templates_list", tags=["Mail"], responses=WordingOut(many=True),
        parameters=parameters(WordingFilters), examples=[WORDED]
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Every revision of your wording, the newest first."""
        rows = narrowed(request, self.provider.mail_templates.all(), WordingFilters)
        paging = NewestFirst()
        found = paging.paginate_queryset(rows, request, self)
        return paging.get_paginated_response(WordingOut(found, many=True, context=self.get_serializer_context()).data)

    @extend_schema(
        operation_id="mail_templates_create", tags=["Mail"], request=WordingIn, responses={201: WordingOut},
        examples=[WORDED, DRAFT],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A new revision. It is a draft until you publish it."""
        fields = self.given(WordingIn)
        kind, locale = fields.pop("kind"), fields.pop("locale", "")
        return self.told(wording.save(self.provider, kind, fields, self.actor, locale), 201)


class Preview(WordingView):
    @extend_schema(
        operation_id="mail_templates_preview",
        tags=["Mail"],
        request=WordingIn,
        responses=LetterOut,
        examples=[LETTER, DRAFT],
    )
    def post(self, request: Request) -> Response:
        """The mail that these texts would make for a made-up customer. Nothing is kept."""
        fields = self.given(WordingIn)
        kind, locale = fields.pop("kind"), fields.pop("locale", "")
        texts = wording.Wording(**wording.checked(kind, fields, locale))
        return Response(LetterOut(letters.preview(self.provider, kind, texts)).data)


class OneWording(WordingView):
    @extend_schema(operation_id="mail_templates_read", tags=["Mail"], responses=WordingOut, examples=[WORDED])
    def get(self, request: Request, pk: UUID) -> Response:
        """One revision."""
        return self.told(self.template(pk))


class Publish(WordingView):
    @extend_schema(
        operation_id="mail_templates_publish", tags=["Mail"], request=None, responses=WordingOut, examples=[WORDED]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Mails of its kind and language are worded like this from now on. An older revision may be published again."""
        wording.publish(self.template(pk), self.actor)
        return self.told(self.template(pk))


class Withdraw(WordingView):
    @extend_schema(
        operation_id="mail_templates_withdraw", tags=["Mail"], request=None, responses=WordingOut, examples=[WORDED]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """No revision of its kind and language is live any more: mails are worded as for every language, or by us."""
        template = self.template(pk)
        wording.withdraw(self.provider, template.kind, template.locale, self.actor)
        return self.told(self.template(pk))


class SendTest(WordingView):
    @extend_schema(
        operation_id="mail_templates_test", tags=["Mail"], request=None,
        responses={202: MailOut, 409: OpenApiResponse(Error, "You have no contact address.")}, examples=[MAILED]
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """Send this revision, about a made-up customer, to your own contact address."""
        template = self.template(pk)
        if not self.provider.contact_email:
            raise Denied("You have no contact address at this console. Ask its staff to note one.", "contact_missing")
        sent = mail.test(template, self.provider.contact_email, self.provider)
        return Response(MailOut(sent).data, status=202)
