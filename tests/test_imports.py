"""Many customers in one call: each line its own outcome, nothing twice, nothing lost, no secret kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import imports, tasks
from accounts.models import CloudAccount, CredentialPush, Import, ImportLine
from console.lib import audit
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from console.models import AuditEntry, User
from providers import customers, enabling
from providers.models import Customer, Event, Mail, Membership, Webhook
from tests.factories import EndpointFactory, MembershipFactory, ProviderFactory, UserFactory
from tests.provider_api.calls import OPENSTACK, Api, shaped

SECRET = "a secret that nobody keeps"  # noqa: S105


@pytest.fixture
def api(db):
    provider = ProviderFactory()
    EndpointFactory(provider=provider, slug="nova")
    return Api(provider)


def line(number, **fields):
    account = {"account_id": "main", "endpoint": "nova", "name": "Main", "version": 1,
               "credentials": OPENSTACK | {"password": SECRET}}  # fmt: skip
    return {
        "external_id": f"c-{number}",
        "email": f"person{number}@orchard.example",
        "first_name": "P",
        "last_name": str(number),
        "organization": f"Orchard {number}",
        "accounts": [account],
    } | fields


def run():
    """As a worker does, once."""
    for row, lease in leases.claim(Import.objects.all(), 60, take_abandoned=True):
        assert tasks.run.name == imports.TASK
        work(KINDS[imports.TASK], imports.perform, row, lease)


def send(api, lines, **more):
    reply = api("POST", "imports", {"customers": lines, **more})
    assert reply.status_code == 202, reply.content
    return f"imports/{reply.json()['id']}"


def outcomes(api, path):
    return {row["number"]: row["outcome"] for row in api("GET", f"{path}/lines").json()["results"]}


def test_each_line_makes_a_customer_with_person_mail_and_an_account_to_be_verified(api):
    path = send(api, [line(1), line(2), line(3, accounts=[])])
    run()
    told = api("GET", path).json()
    assert (told["state"], told["total"], told["counts"]["created"]) == ("done", 3, 3)
    assert told["outcome"] == "3 lines: 3 created."
    assert Customer.objects.count() == Mail.objects.filter(kind="welcome").count() == User.objects.count() == 3
    account = CloudAccount.objects.get(customer__external_id="c-1")
    assert account.pending_credentials()["password"] == SECRET and account.pending_version == 1
    assert account in CloudAccount.objects.readable() and account.status == "pending"
    assert CredentialPush.objects.count() == 2
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs.count("customer.created") == 3 and verbs.count("account.linked") == 2


def test_what_it_makes_is_what_single_calls_make(api):
    """The quick way and the plain way are held to each other, field by field."""
    send(api, [line(1)])
    run()
    other = ProviderFactory()
    EndpointFactory(provider=other, slug="nova")
    single, plain = Api(other), line(2)
    [account] = plain.pop("accounts")
    single("PUT", "customers/c-2", {name: value for name, value in plain.items() if name != "external_id"})
    single("PUT", "customers/c-2/accounts/main", {k: v for k, v in account.items() if k != "account_id"})

    def shape(provider):
        customer = Customer.objects.get(provider=provider)
        person, [held] = customer.people.get(), customer.accounts.all()
        member = Membership.objects.get(customer=customer)
        mail = Mail.objects.get(customer=customer)
        return {
            "customer": (customer.status, customer.locale, customer.closed_at),
            "person": (person.has_usable_password(), person.is_staff, person.is_active, person.first_name),
            "membership": (member.role, member.founding, member.accepted_at),
            "mail": (mail.kind, mail.state, mail.message_id.startswith(f"<{mail.pk}@"), mail.to == customer.email),
            "account": (held.status, held.status_reason, held.pending_version, bool(held.sealed), held.name),
            "push": list(held.pushes.values_list("version", "outcome")),
            "audit": sorted(AuditEntry.objects.filter(customer_id=customer.pk).values_list("verb", "detail__version")),
        }

    told, expected = shape(api.provider), shape(other)
    told["audit"] = [verb for verb, _ in told["audit"]]
    expected["audit"] = [verb for verb, _ in expected["audit"]]
    assert told == expected


def test_the_same_import_again_changes_nothing(api):
    lines = [line(1), line(2)]
    send(api, lines)
    run()
    path = send(api, lines)
    run()
    assert set(outcomes(api, path).values()) == {"unchanged"}
    assert Customer.objects.count() == Mail.objects.count() == 2


def test_known_customers_are_updated_and_closed_ones_reopened(api):
    send(api, [line(1), line(2)])
    run()
    customers.close(Customer.objects.get(external_id="c-2"), audit.SYSTEM)
    path = send(api, [line(1, organization="New Ltd"), line(2), line(3)])
    run()
    assert outcomes(api, path) == {1: "updated", 2: "created", 3: "created"}
    assert Customer.objects.get(external_id="c-1").organization == "New Ltd"


def test_a_wrong_line_is_refused_with_its_fields_and_harms_no_other(api):
    [account] = line(0)["accounts"]
    path = send(api, [
        line(1, email="no"),
        line(2, colour="red"),
        line(3, accounts=[account | {"endpoint": "nowhere"}]),
        line(4, accounts=[account | {"credentials": {"x": "y"}}]),
        line(5, accounts=[{"account_id": "a/b", "endpoint": "nova", "name": "A", "version": 0}]),
        "nonsense",
        line(6),
    ])  # fmt: skip
    run()
    assert outcomes(api, path) == dict.fromkeys(range(1, 7), "refused") | {7: "created"}
    rows = api("GET", f"{path}/lines?outcome=refused").json()["results"]
    named = [sorted(row["errors"]) for row in rows]
    assert named == [
        ["email"], ["colour"], ["accounts.0.endpoint"], ["accounts.0.credentials"],
        ["accounts.0.account_id", "accounts.0.credentials", "accounts.0.version"], ["line"],
    ]  # fmt: skip
    assert Customer.objects.get().external_id == "c-6"


def test_one_customer_in_two_lines_gets_both_accounts(api):
    other = line(1)["accounts"][0] | {"account_id": "second"}
    path = send(api, [line(1), line(1, accounts=[other])])
    run()
    assert outcomes(api, path) == {1: "created", 2: "updated"}
    assert CloudAccount.objects.count() == 2 and Mail.objects.count() == 1


def test_who_is_known_already_is_invited_and_one_person_founds_one_customer(api):
    known = MembershipFactory(user=UserFactory(email="known@example.com")).user
    send(api, [line(1, email="Known@example.com"), line(2, email="new@example.com"), line(3, email="new@example.com")])
    run()
    kinds = dict(Mail.objects.values_list("customer__external_id", "kind"))
    assert kinds == {"c-1": "invitation", "c-2": "welcome", "c-3": "invitation"}
    assert Membership.objects.filter(user=known).count() == 2
    assert Membership.objects.filter(founding=True).get().customer.external_id == "c-2"


def test_nobody_gets_a_mail_when_none_is_wanted(api):
    send(api, [line(1)], send_mail=False)
    run()
    assert not Mail.objects.exists()


def test_credentials_are_sealed_and_gone_when_the_line_is_done(api):
    send(api, [line(1)])
    kept = str(list(ImportLine.objects.values()))
    assert SECRET not in kept and ImportLine.objects.get().sealed
    run()
    assert ImportLine.objects.get().sealed == ""


def held():
    """Every text that the imports' tables hold."""
    return str([list(model.objects.values()) for model in (Import, ImportLine)])


def test_who_the_lines_were_about_is_forgotten_with_them_and_the_import_after_30_days(api):
    path = send(
        api, [line(1), line(2), line(3, email="no"), line(4, accounts=[line(4)["accounts"][0] | {"version": 0}])]
    )
    assert "person1@orchard.example" in held()
    run()
    told = api("GET", f"{path}/lines").json()["results"]
    assert [one["external_id"] for one in told] == ["c-1", "c-2", "c-3", "c-4"] and told[2]["errors"]
    assert "orchard.example" not in held() and "Orchard" not in held() and SECRET not in held()
    Import.objects.update(ended_at=timezone.now() - timedelta(days=29))
    tasks.tidy_imports()
    assert ImportLine.objects.count() == 4
    Import.objects.update(ended_at=timezone.now() - timedelta(days=31))
    tasks.tidy_imports()
    assert not ImportLine.objects.exists() and api("GET", path).status_code == 404


def test_one_that_was_canceled_keeps_no_credentials_of_lines_that_were_never_taken(api):
    send(api, [line(1), line(2)])
    assert leases.cancel(Import.objects.all(), "Staff stopped it.")
    assert not ImportLine.objects.exclude(sealed="").exists() and "orchard.example" not in held()


def test_one_that_waits_is_not_tidied_away(api):
    send(api, [line(1)])
    tasks.tidy_imports()
    run()
    assert Customer.objects.count() == 1


def test_it_stops_when_its_provider_is_suspended_meanwhile(api):
    path = send(api, [line(1), line(2)])
    enabling.suspend(api.provider, audit.SYSTEM)
    run()
    batch = Import.objects.get()
    assert (batch.state, Customer.objects.count()) == ("canceled", 0)
    assert "2 of 2 lines were not taken" in batch.outcome and "suspended" in batch.outcome
    assert SECRET not in held() and "orchard.example" not in held()
    enabling.enable(api.provider, audit.SYSTEM)
    assert outcomes(api, path) == {1: "waiting", 2: "waiting"}
    assert SECRET not in str(list(ImportLine.objects.values())) + str(list(AuditEntry.objects.values()))


def test_quotas_hold_for_imports_too(api):
    api.provider.max_customers = 2
    api.provider.save()
    path = send(api, [line(number) for number in range(4)])
    run()
    assert sorted(outcomes(api, path).values()) == ["created", "created", "refused", "refused"]
    assert "may have 2 customers" in str(api("GET", f"{path}/lines?outcome=refused").json())


def test_its_end_is_told_to_webhooks(api):
    Webhook.objects.create(provider=api.provider, url="https://north.example/hook", sealed="x")
    path = send(api, [line(1), "nonsense"])
    run()
    data = Event.objects.get(type="import.ended").data
    assert data == {
        "import_id": path.removeprefix("imports/"), "total": 2,
        "counts": {"waiting": 0, "created": 1, "updated": 0, "unchanged": 0, "refused": 1},
    }  # fmt: skip
    assert Event.objects.filter(type="customer.created").count() == 1


class TestCsv:
    HEAD = (
        "external_id,email,first_name,last_name,organization,"
        "account_id,endpoint,account_name,version,username,password,project"
    )

    def post(self, api, text, query=""):
        return api("POST", f"imports{query}", text.encode(), Content_Type="text/csv")

    def test_a_table_is_an_import_as_well(self, api):
        rows = [
            self.HEAD,
            'c-1,a@b.example,A,B,"Engines, Ltd",main,nova,Main,1,ada,"sec,ret",p',
            "c-2,c@d.example,C,D,,,,,,,,",
        ]
        reply = self.post(api, "\r\n".join(rows), "?send_mail=false")
        assert reply.status_code == 202, reply.content
        run()
        assert outcomes(api, f"imports/{reply.json()['id']}") == {1: "created", 2: "created"}
        assert Customer.objects.get(external_id="c-1").organization == "Engines, Ltd"
        assert CloudAccount.objects.get().pending_credentials()["password"] == "sec,ret"
        assert not Mail.objects.exists()

    def test_a_line_of_other_length_is_refused_alone(self, api):
        path = f"imports/{self.post(api, self.HEAD + chr(10) + 'c-1,a@b.example').json()['id']}"
        run()
        [row] = api("GET", f"{path}/lines").json()["results"]
        assert "cells" in row["errors"]["line"][0]

    def test_an_unknown_column_is_named(self, api):
        assert "colour" in shaped(self.post(api, "external_id,colour\nc-1,red"), 400)["fields"]

    @pytest.mark.parametrize("body", [b"\xff\xfe\x00", b'a,"b'])
    def test_what_is_no_table_is_refused_in_words(self, api, body):
        shaped(api("POST", "imports", body, Content_Type="text/csv"), 400)


@pytest.mark.parametrize(
    "body",
    [
        *("[]", "{}", '{"customers": 1}', "no", '{"customers": [], "x": 1}', '{"customers": []}'),
        '{"customers": [1], "send_mail": "no"}',
    ],
)
def test_what_is_no_import_is_refused_in_words(api, body):
    shaped(api("POST", "imports", body), 400)
    assert not Import.objects.exists()


def test_more_than_ten_thousand_lines_or_32_megabytes_are_refused(api):
    reply = api("POST", "imports", {"customers": [{}] * (imports.MOST + 1)})
    assert "10,000" in str(shaped(reply, 400)["fields"])
    shaped(api("POST", "imports", b" " * (32 * 1024 * 1024 + 1)), 413)


def test_a_few_imports_at_a_time(api):
    for number in range(imports.AT_ONCE):
        send(api, [line(number)])
    shaped(api("POST", "imports", {"customers": [line(9)]}), 409, "imports_running")


def test_another_providers_import_is_a_404(api):
    path, rival = send(api, [line(1)]), Api(ProviderFactory())
    for address in (path, f"{path}/lines"):
        assert rival("GET", address).status_code == 404
    assert rival("GET", "imports").json()["results"] == []
    assert len(api("GET", "imports").json()["results"]) == 1


def test_a_page_of_imports_costs_as_many_queries_as_one_import(api, django_assert_max_num_queries):
    def stand(number):
        batch = Import.objects.create(provider=api.provider, total=2, state="done")
        for at, outcome in enumerate(["created", "refused"], start=1):
            ImportLine.objects.create(batch=batch, number=at, external_id=f"c-{number}-{at}", outcome=outcome)

    stand(0)
    api("GET", "imports")  # notes that the key was used
    with CaptureQueriesContext(connection) as one:
        api("GET", "imports")
    for number in range(1, 30):
        stand(number)
    with django_assert_max_num_queries(len(one)):
        rows = api("GET", "imports").json()["results"]
    assert len(rows) == 30
    for row in rows:
        assert row["counts"] == {"waiting": 0, "created": 1, "updated": 0, "unchanged": 0, "refused": 1}


def test_accounts_want_their_own_scope(db):
    api = Api(ProviderFactory(), scopes=["customers:write"])
    assert "accounts:write" in shaped(api("POST", "imports", {"customers": [line(1)]}), 403)["message"]
    assert api("POST", "imports", {"customers": [line(1, accounts=[])]}).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_in_the_middle_loses_nothing_and_does_nothing_twice(monkeypatch):
    provider = ProviderFactory()
    EndpointFactory(provider=provider, slug="nova")
    api = Api(provider)
    monkeypatch.setattr(imports, "SLICE", 4)
    path = send(api, [line(number) for number in range(10)])
    [(row, lease)] = leases.claim(Import.objects.all(), 60)
    real, slices = imports._slice, []

    def dies(*args):
        if len(slices) == 1:
            raise KeyboardInterrupt
        slices.append(1)
        return real(*args)

    monkeypatch.setattr(imports, "_slice", dies)
    with pytest.raises(KeyboardInterrupt):
        imports.perform(row, lease)
    assert api("GET", path).json()["counts"] == {
        "waiting": 6, "created": 4, "updated": 0, "unchanged": 0, "refused": 0
    }  # fmt: skip
    monkeypatch.setattr(imports, "_slice", real)
    Import.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    run()
    assert api("GET", path).json()["counts"]["created"] == 10
    assert Customer.objects.count() == Mail.objects.count() == CloudAccount.objects.count() == 10
    with pytest.raises(leases.Lost):  # the dead one comes back: its fence is over
        imports.perform(row, lease)


def test_thousands_of_lines_come_in_at_once(api, full_or):
    count = full_or(10_000, 600)
    path = send(api, [line(number) for number in range(count)])
    run()
    assert api("GET", path).json()["counts"]["created"] == count
    assert Customer.objects.count() == CloudAccount.objects.count() == CredentialPush.objects.count() == count
