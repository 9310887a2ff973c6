"""A provider's customers: idempotent, safe against twenty calls at once, and nobody learns who else somebody is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from console.lib import audit
from console.lib.denials import Denied
from console.models import AuditEntry, User
from providers import customers, links, mail
from providers.models import Customer, Mail, Membership, SignInLink
from providers.signals import customer_closing, customer_resumed, customer_suspended
from tests.factories import CustomerFactory, MembershipFactory, ProviderFactory, UserFactory

ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
BY = audit.SYSTEM


@pytest.fixture
def provider(db):
    return ProviderFactory()


def at_once(call, *arguments):
    """`call` in a thread for each of `arguments`, all let go together. What they returned; a fault is raised."""
    barrier = threading.Barrier(len(arguments))

    def one(argument):
        try:
            barrier.wait(30)
            return call(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(one, arguments))


def heard(signal):
    """What the signal said while the test ran."""
    said = []

    def listen(**told):
        said.append(told["customer"].pk)

    signal.connect(listen)
    return said, listen


@pytest.mark.django_db(transaction=True)
def test_the_same_put_twenty_times_at_once_makes_one_customer_one_person_and_one_mail():
    provider = ProviderFactory()
    outcomes = at_once(lambda _: customers.put(provider, "c-1", ADA, BY), *range(20))
    assert [outcome.created for outcome in outcomes].count(True) == 1
    assert len({outcome.customer.pk for outcome in outcomes}) == 1
    assert (Customer.objects.count(), User.objects.count(), Mail.objects.count()) == (1, 1, 1)
    assert AuditEntry.objects.filter(verb="customer.created").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_providers_that_bring_the_same_new_person_at_once_make_one_person():
    at_once(lambda provider: customers.put(provider, "c-1", ADA, BY), *(ProviderFactory() for _ in range(6)))
    assert User.objects.count() == 1
    assert sorted(Mail.objects.values_list("kind", flat=True)) == ["invitation"] * 5 + ["welcome"]


def test_a_new_customers_person_gets_a_welcome_and_comes_in_only_after_setting_a_password(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    person = User.objects.get(email="ada@example.com")
    assert not person.has_usable_password()
    assert Mail.objects.get().kind == "welcome"
    assert Membership.objects.get(customer=customer, user=person).accepted_at is None
    assert not Customer.objects.open_to(person).exists()


def test_put_brings_contact_data_up_to_date_and_says_so_once(provider):
    customers.put(provider, "c-1", ADA, BY)
    for _ in range(2):
        outcome = customers.put(provider, "c-1", {**ADA, "organization": "Difference Engines"}, BY)
    assert (outcome.created, outcome.customer.organization) == (False, "Difference Engines")
    [entry] = AuditEntry.objects.filter(verb="customer.updated")
    assert entry.detail == {"fields": ["organization"]}
    assert Mail.objects.count() == 1


def test_a_changed_contact_address_changes_nobodys_sign_in_and_lets_nobody_in(provider):
    customers.put(provider, "c-1", ADA, BY)
    customer = customers.put(provider, "c-1", {**ADA, "email": "mallory@example.com"}, BY).customer
    assert customer.email == "mallory@example.com"
    assert list(User.objects.values_list("email", flat=True)) == ["ada@example.com"]
    assert [member.user.email for member in customer.memberships.all()] == ["ada@example.com"]


def test_somebody_who_signs_in_already_is_invited_and_the_provider_sees_no_difference(provider, people):
    known = customers.put(provider, "c-1", {**ADA, "email": "Alice@Example.com"}, BY)
    fresh = customers.put(provider, "c-2", ADA, BY)
    assert known.created and fresh.created
    kinds = dict(Mail.objects.values_list("customer__external_id", "kind"))
    assert kinds == {"c-1": "invitation", "c-2": "welcome"}
    assert User.objects.filter(email__iexact="alice@example.com").count() == 1
    assert known.customer not in Customer.objects.open_to(people.alice)


def test_an_invitation_holds_no_way_in_even_for_somebody_who_has_no_password_yet(provider):
    customers.put(ProviderFactory(), "elsewhere", ADA, BY)
    customer = customers.put(provider, "c-1", ADA, BY).customer
    [invitation] = Mail.objects.filter(customer=customer)
    text = mail.compose(invitation).body
    assert "/invitations/join/" in text
    assert not SignInLink.objects.filter(customer=customer).exists()


def test_staff_never_get_a_set_password_link_from_a_provider(provider):
    UserFactory(email="ada@example.com", is_staff=True)
    customers.put(provider, "c-1", ADA, BY)
    mail.compose(Mail.objects.get())
    assert Mail.objects.get().kind == "invitation"
    assert not SignInLink.objects.exists()


def test_without_send_mail_there_is_no_mail_until_it_is_asked_for(provider):
    customer = customers.put(provider, "c-1", {**ADA, "send_mail": False}, BY).customer
    assert not Mail.objects.exists()
    assert customers.resend_mail(customer, BY).kind == "welcome"


def test_resending_does_not_double_a_mail_that_still_waits(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    first = customers.resend_mail(customer, BY)
    assert customers.resend_mail(customer, BY) == first
    assert Mail.objects.count() == 1
    Mail.objects.update(state="done")
    assert customers.resend_mail(customer, BY) != first


def test_resending_to_a_corrected_address_ends_what_the_mistyped_one_was_given(provider):
    customer = customers.put(provider, "c-1", {**ADA, "email": "adda@example.com"}, BY).customer
    stranger = User.objects.get(email="adda@example.com")
    token = links.issue(stranger, SignInLink.Purpose.SET_PASSWORD, customer)
    customer = customers.put(provider, "c-1", ADA, BY).customer
    sent = customers.resend_mail(customer, BY)
    assert (sent.to, sent.kind) == ("ada@example.com", "welcome")
    assert links.peek(token, SignInLink.Purpose.SET_PASSWORD) is None
    assert Mail.objects.get(to="adda@example.com").state == "canceled"
    assert [member.user.email for member in customer.memberships.all()] == ["ada@example.com"]


def test_resending_after_somebody_came_in_goes_to_that_person_whatever_the_contact_address_says(people):
    owner = people.customer.memberships.get(user=people.alice).user
    sent = customers.resend_mail(people.customer, BY)
    assert (sent.user, sent.kind) == (owner, "welcome")
    assert people.customer.memberships.count() == 2
    assert "/welcome/" not in mail.compose(sent).body


def test_suspend_and_resume_tell_the_apps_above_and_twice_is_once(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    (stopped, one), (went_on, two) = heard(customer_suspended), heard(customer_resumed)
    for deed in (customers.suspend, customers.suspend, customers.resume, customers.resume):
        state = deed(customer, BY).status
    assert (stopped, went_on, state) == ([customer.pk], [customer.pk], "active")
    verbs = AuditEntry.objects.filter(verb__in=("customer.suspended", "customer.resumed")).count()
    assert verbs == 2
    del one, two


def test_closing_ends_mails_links_and_doors_once(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    person = customer.memberships.get().user
    token = links.issue(person, SignInLink.Purpose.SET_PASSWORD, customer)
    closing, listener = heard(customer_closing)
    for _ in range(2):
        closed = customers.close(customer, BY)
    assert closed.status == "closed" and closed.closed_at
    assert closing == [customer.pk]
    assert links.redeem(token, SignInLink.Purpose.SET_PASSWORD) is None
    assert Mail.objects.get().state == "canceled"
    assert AuditEntry.objects.filter(verb="customer.closed").count() == 1
    for deed in (customers.suspend, customers.resume, customers.resend_mail):
        with pytest.raises(Denied, match="closed"):
            deed(customer, BY)
    del listener


def test_put_reopens_a_closed_customer_with_a_new_mail(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    customers.close(customer, BY)
    outcome = customers.put(provider, "c-1", ADA, BY)
    assert outcome.created and outcome.customer.pk == customer.pk
    assert (outcome.customer.status, outcome.customer.closed_at) == ("active", None)
    assert Mail.objects.filter(state="queued").count() == 1
    assert AuditEntry.objects.filter(verb="customer.reopened").count() == 1


def test_a_suspended_customer_stays_suspended_when_its_contact_data_change(provider):
    customer = customers.put(provider, "c-1", ADA, BY).customer
    customers.suspend(customer, BY)
    assert customers.put(provider, "c-1", {**ADA, "last_name": "Lovelace"}, BY).customer.status == "suspended"


def test_the_same_id_at_two_providers_is_two_customers(provider):
    other = CustomerFactory(external_id="c-1")
    made = customers.put(provider, "c-1", ADA, BY)
    assert made.created and made.customer.pk != other.pk


def test_a_team_keeps_its_people_when_the_customer_is_reopened(people):
    MembershipFactory(customer=people.customer, user=people.charlie, accepted_at=None)
    customers.close(people.customer, BY)
    fields = {"email": people.alice.email, "first_name": "A", "last_name": "B", "organization": "Orchard Ltd"}
    customers.put(people.customer.provider, people.customer.external_id, fields, BY)
    assert Customer.objects.open_to(people.bob).get() == people.customer
    assert not Customer.objects.open_to(people.charlie).filter(pk=people.customer.pk).exists()
