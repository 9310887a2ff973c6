"""The provider API's calls about imports: many customers and accounts in one call."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ParseError, PermissionDenied, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import imports
from accounts.api.serializers import NamedAccountIn
from accounts.imports import Account, Line
from accounts.models import Import, ImportLine
from console.lib.api.filters import choice, narrowed, parameters
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from console.lib.api.strict import In
from providers import keys
from providers.api.base import ProviderView
from providers.api.serializers import NewCustomerIn

MOST_BYTES: Final = 32 * 1024 * 1024
CUSTOMER: Final = ("external_id", "email", "first_name", "last_name", "organization", "locale")
ACCOUNT: Final = ("account_id", "endpoint", "account_name", "version")
CREDENTIALS: Final = (
    "username", "password", "project", "user_domain", "project_domain", "application_credential_id",
    "application_credential_secret", "api_key", "secret_key", "org", "api_token",
)  # fmt: skip


class TooLarge(APIException):
    status_code = 413
    default_detail = "The body is larger than 32 MB. Send it in parts."
    default_code = "too_large"


class ImportedAccountIn(NamedAccountIn):
    """An account of a line."""


class ImportedCustomerIn(NewCustomerIn):
    accounts = ImportedAccountIn(many=True, required=False, max_length=20)  # type: ignore[call-arg]  # ListSerializer's

    send_mail = None  # type: ignore[assignment]  # of the whole import


class ImportIn(In):
    customers = ImportedCustomerIn(many=True, help_text="1 to 10,000, each with its own outcome.")
    send_mail = serializers.BooleanField(default=True, help_text="false: nobody gets a mail by this import.")


class ImportOut(serializers.ModelSerializer[Import]):
    counts = serializers.SerializerMethodField(help_text="How many lines have which outcome.")

    class Meta:
        model = Import
        fields = ("id", "state", "outcome", "total", "counts", "queued_at", "started_at", "ended_at")

    def get_counts(self, batch: Import) -> dict[str, int]:
        told: dict[UUID, dict[str, int]] | None = self.context.get("counts")  # of a whole page
        return imports.counts(batch) if told is None else told[batch.pk]


class ImportLineOut(serializers.ModelSerializer[ImportLine]):
    errors = serializers.DictField(  # type: ignore[assignment]  # the promised name of the key
        help_text="What is wrong about each field, when it was refused."
    )

    class Meta:
        model = ImportLine
        fields = ("number", "external_id", "outcome", "errors")


class LineFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    outcome = choice(list(ImportLine.Outcome.choices), help_text="Only lines with this outcome.")

    class Meta:
        model = ImportLine
        fields = ("outcome",)


class Whole(BaseParser):
    """The body as bytes, within bounds; what it is, the view says by its type."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body: bytes = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge
        return body


class JsonBody(Whole):
    media_type = "application/json"


class CsvBody(Whole):
    media_type = "text/csv"


IMPORT_ID = "8f3d2a64-51b7-4a0e-8c6d-7e1f0b2c4d55"
ASKED = OpenApiExample(
    "Two customers, one with an account",
    {
        "customers": [
            {
                "external_id": "c-1001", "email": "ada@example.com", "first_name": "Ada", "last_name": "Byron",
                "organization": "Engines Ltd",
                "accounts": [
                    {"account_id": "main", "endpoint": "nova", "name": "Main", "version": 1,
                     "credentials": {"username": "ada", "password": "…", "project": "engines"}},
                ],
            },
            {"external_id": "c-1002", "email": "bob@example.com", "first_name": "Bob", "last_name": "Bell",
             "organization": ""},
        ],
        "send_mail": False,
    },
    request_only=True,
)  # fmt: skip


TABLE = OpenApiExample(
    "The same as CSV",
    "external_id,email,first_name,last_name,organization,account_id,endpoint,account_name,version,username,password,"
    "project\nc-1001,ada@example.com,Ada,Byron,Engines Ltd,main,nova,Main,1,ada,…,engines\n"
    "c-1002,bob@example.com,Bob,Bell,,,,,,,,\n",
    request_only=True,
    media_type="text/csv",
)
STANDS = OpenApiExample(
    "Just begun",
    {
        "id": IMPORT_ID,
        "state": "queued",
        "outcome": "",
        "total": 2,
        "counts": {"waiting": 2, "created": 0, "updated": 0, "unchanged": 0, "refused": 0},
        "queued_at": "2025-01-07T09:30:00Z",
        "started_at": None,
        "ended_at": None,
    },
    response_only=True,
    status_codes=["200", "202"],
)
LINE = OpenApiExample(
    "A refused line",
    {
        "number": 2,
        "external_id": "c-1002",
        "outcome": "refused",
        "errors": {"email": ["Enter a valid email address."]},
    },
    response_only=True,
)


class ByNumber(Pages):
    fields = ("number",)


class NewestFirst(Pages):
    fields = ("-queued_at", "-id")


class ImportView(ProviderView):
    scopes: ClassVar = {"GET": "customers:read", "POST": "customers:write"}
    in_path: ClassVar = {"id": IMPORT_ID}

    def imports(self) -> QuerySet[Import]:
        return Import.objects.filter(provider=self.provider)

    def one(self, pk: Any) -> Import:
        found = self.imports().filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no import with this id.", "import_unknown")
        return found


class Imports(ImportView):
    parser_classes = (JsonBody, CsvBody)
    pagination_class = NewestFirst

    @extend_schema(operation_id="imports_list", tags=["Imports"], responses=ImportOut(many=True), examples=[STANDS])
    def get(self, request: Request) -> Response:
        """Your imports, the newest first."""
        paging = NewestFirst()
        found = paging.paginate_queryset(self.imports(), request, self)
        told = ImportOut(found, many=True, context={"counts": imports.counts_of(found)})
        return paging.get_paginated_response(told.data)

    @extend_schema(
        operation_id="imports_create", tags=["Imports"], request=ImportIn, examples=[ASKED, TABLE, STANDS],
        responses={
            202: ImportOut,
            409: OpenApiResponse(Error, "As many imports of yours as may run at once are under way."),
            413: OpenApiResponse(Error, "The body is larger than 32 MB."),
        },
        parameters=[
            OpenApiParameter(
                "send_mail", bool,
                description="false: nobody gets a mail. JSON may say it in its body, which counts then.",
            )
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Up to 10,000 customers with their accounts, as JSON, or as CSV (text/csv) with a header line.

        202 at once; each line has its own outcome in GET imports/{id}/lines. The same import again changes nothing.
        CSV columns: external_id, email, first_name, last_name, organization, locale; account_id, endpoint,
        account_name, version; and the credentials by their names (username, password, project …).
        """
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        asked = request.query_params.get("send_mail", "true")
        if asked not in ("true", "false"):
            raise ValidationError({"send_mail": ["Write true or false."]})
        send_mail = asked == "true"
        lines, send_mail = (self._csv(request), send_mail) if kind == "text/csv" else self._json(request, send_mail)
        read = _Reader()
        checked = [read(line) for line in lines]
        if any(line.accounts for line in checked) and not keys.allows(self.key, "accounts:write"):
            raise PermissionDenied("This key lacks the scope accounts:write.", "scope_missing")
        form = Import.Form.CSV if kind == "text/csv" else Import.Form.JSON
        batch = imports.take(self.provider, checked, form, self.actor, send_mail=send_mail)
        return Response(ImportOut(batch).data, status=202)

    def _body(self, request: Request) -> bytes:
        body: Any = request.data  # bytes: of `Whole`; an empty mapping when there was no body at all
        return body if isinstance(body, bytes) else b""

    def _json(self, request: Request, send_mail: bool) -> tuple[list[Any], bool]:
        try:
            body = orjson.loads(self._body(request))
        except orjson.JSONDecodeError as fault:
            raise ParseError(str(fault)) from fault
        if not isinstance(body, dict) or not isinstance(body.get("customers"), list):
            raise ValidationError({"customers": ['Send {"customers": [ … ]}.']})
        if unknown := sorted(set(body) - {"customers", "send_mail"}):
            raise ValidationError({name: ["Unknown field. Known: customers, send_mail."] for name in unknown})
        send_mail = body.get("send_mail", send_mail)
        if not isinstance(send_mail, bool):
            raise ValidationError({"send_mail": ["Write true or false."]})
        return body["customers"], send_mail

    def _csv(self, request: Request) -> list[Any]:
        try:
            return list(_from_csv(self._body(request).decode("utf-8-sig")))
        except (UnicodeDecodeError, csv.Error) as fault:
            raise ParseError(f"This is not CSV in UTF-8: {fault}") from fault


class OneImport(ImportView):
    @extend_schema(operation_id="imports_read", tags=["Imports"], responses=ImportOut, examples=[STANDS])
    def get(self, request: Request, pk: Any) -> Response:
        """How an import stands."""
        return Response(ImportOut(self.one(pk)).data)


class ImportLines(ImportView):
    pagination_class = ByNumber

    @extend_schema(
        operation_id="imports_lines", tags=["Imports"], responses=ImportLineOut(many=True),
        parameters=parameters(LineFilters), examples=[LINE]
    )  # fmt: skip
    def get(self, request: Request, pk: Any) -> Response:
        """Each line with its outcome, in the order in which they were sent."""
        return self.pages(request, narrowed(request, self.one(pk).lines.all(), LineFilters), ImportLineOut, ByNumber)


class Malformed(str):
    """A line that could not be read, and why."""


class _Reader:
    """Checks one line after the other with the serializers of single calls, which are made once."""

    def __init__(self) -> None:
        self.customer, self.account = NewCustomerIn(), NamedAccountIn()

    def __call__(self, line: Any) -> Line:
        if not isinstance(line, dict):
            return Line("", {}, errors={"line": [str(line) if isinstance(line, Malformed) else "Send a JSON object."]})
        given = {name: value for name, value in line.items() if name not in ("accounts", "send_mail")}
        external_id = str(line.get("external_id", ""))
        errors: dict[str, Any] = {"send_mail": ["It is said for the whole import."]} if "send_mail" in line else {}
        fields, said = _checked(self.customer, given)
        errors |= said
        accounts = line.get("accounts", [])
        if not isinstance(accounts, list) or len(accounts) > 20:
            errors["accounts"] = ["Send a list of 20 accounts at most."]
            accounts = []
        pushed = []
        for at, account in enumerate(accounts):
            values, said = _checked(self.account, account)
            errors |= {f"accounts.{at}.{name}": words for name, words in said.items()}
            if not said:
                pushed.append(Account(
                    values["account_id"], values["endpoint"], values["name"], values["version"], values["credentials"]
                ))  # fmt: skip
        if errors:
            return Line(external_id, {}, errors=errors)
        fields.pop("send_mail", None)
        return Line(fields.pop("external_id"), fields, pushed)


def _checked(serializer: serializers.Serializer[Any], given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return dict(serializer.run_validation(given)), {}
    except ValidationError as wrong:
        said: Any = wrong.detail
        if not isinstance(said, Mapping):
            return {}, {"line": [str(words) for words in said]}
        return {}, {
            ("line" if name == "non_field_errors" else str(name)): _plain(words) for name, words in said.items()
        }


def _plain(said: Any) -> Any:
    if isinstance(said, Mapping):
        return {str(name): _plain(words) for name, words in said.items()}
    return [str(words) for words in said] if isinstance(said, list) else str(said)


def _from_csv(text: str) -> Iterator[dict[str, Any] | Malformed]:
    """Each line as the JSON form has it. An empty cell is a field that was left out, but for `organization`."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    known = {*CUSTOMER, *ACCOUNT, *CREDENTIALS}
    if strangers := [name for name in rows.fieldnames or [] if name not in known]:
        raise ValidationError({name or "header": [f"Unknown column. Known: {', '.join(sorted(known))}."]
                               for name in strangers})  # fmt: skip
    for row in rows:
        if None in row or None in row.values():
            yield Malformed("It has more or fewer cells than the header.")
            continue
        line: dict[str, Any] = {name: row[name] for name in CUSTOMER if row.get(name)}
        account = {name: row[name] for name in ACCOUNT if row.get(name)}
        credentials = {name: row[name] for name in CREDENTIALS if row.get(name)}
        if account or credentials:
            if "account_name" in account:
                account["name"] = account.pop("account_name")
            line["accounts"] = [{**account, "credentials": credentials}]
        line.setdefault("organization", "")
        yield line
