"""Webhooks over real HTTP: signed so that the reference library takes them, told to whom it concerns and no other."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone
from standardwebhooks.webhooks import WebhookVerificationError

from console.lib import audit, seal
from console.lib.denials import Denied, Wrong
from console.lib.jobs.leases import claim
from console.lib.jobs.rows import JobState
from providers import customers, delivering, events, mail, posting, reports, webhooks
from providers.models import Customer, Delivery, Event, Mail, Membership, Webhook
from tests.factories import CustomerFactory, MembershipFactory, ProviderFactory, UserFactory
from tests.provider_api.calls import Api
from tests.webhooks.moments import again, happens

pytestmark = pytest.mark.django_db(transaction=True)
ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
DAY = timedelta(days=1)


def test_what_happened_arrives_signed_and_the_delivery_says_so(north, hook, site):
    webhook, secret = hook
    customers.put(north, "c-1", ADA, audit.SYSTEM)
    assert delivering.drain(webhook.pk) == 1
    [call] = site.calls
    told = call.verified(secret)
    assert (told["type"], told["data"]) == ("customer.created", {"external_id": "c-1"})
    assert told["timestamp"].endswith("Z")
    [event] = Event.objects.all()
    assert call.id == str(event.pk)
    with pytest.raises(WebhookVerificationError):
        call.verified("whsec_" + "A" * 44)
    [row] = Delivery.objects.all()
    assert (row.state, row.outcome) == ("done", "The endpoint answered 204 No Content.")
    [told] = row.tries
    assert (told["status"], told["words"]) == (204, row.outcome)


def test_nothing_is_written_when_nobody_listens(north, django_assert_num_queries, site):
    webhooks.add(north, site.url, ["server.lost"], audit.SYSTEM)
    off, _ = webhooks.add(north, f"{site.url}/off", [], audit.SYSTEM)
    webhooks.change(off, audit.SYSTEM, enabled=False)
    with transaction.atomic(), django_assert_num_queries(1):
        assert events.fire(north, "customer.created", {}) == 0
    assert not Event.objects.exists()
    assert happens(None) == 0


def test_what_is_rolled_back_was_never_told(north, hook):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        events.fire(north, "customer.created", {})
        _ = 1 / 0
    assert not Event.objects.exists()


def test_a_webhook_is_told_what_it_asked_for_and_nothing_of_another_provider(north, site):
    webhook, _ = webhooks.add(north, site.url, ["customer.closed"], audit.SYSTEM)
    south = ProviderFactory()
    other, _ = webhooks.add(south, site.url, [], audit.SYSTEM)
    made = customers.put(north, "c-1", ADA, audit.SYSTEM).customer
    customers.close(made, audit.SYSTEM)
    assert (delivering.drain(webhook.pk), delivering.drain(other.pk)) == (1, 0)
    assert site.types() == ["customer.closed"]


def test_every_deed_on_a_customer_tells_of_itself_in_its_order(north, hook, site):
    made = customers.put(north, "c-1", ADA, audit.SYSTEM).customer
    customers.put(north, "c-1", ADA, audit.SYSTEM)
    customers.put(north, "c-1", ADA | {"last_name": "Lovelace"}, audit.SYSTEM)
    for deed in (customers.suspend, customers.suspend, customers.resume, customers.close, customers.close):
        deed(made, audit.SYSTEM)
    customers.put(north, "c-1", ADA, audit.SYSTEM)
    nameless = CustomerFactory(provider=north, external_id="")
    customers.suspend(nameless, audit.SYSTEM)
    assert list(Event.objects.order_by("at").values_list("type", flat=True)) == [
        "customer.created", "customer.updated", "customer.suspended", "customer.resumed", "customer.closed",
        "customer.reopened",
    ]  # fmt: skip
    assert Event.objects.get(type="customer.updated").data == {"external_id": "c-1", "fields": ["last_name"]}


def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_alone(north, hook, site):
    webhook, old = hook
    webhook, new = webhooks.rotate_secret(webhook, audit.SYSTEM)
    happens(north)
    delivering.drain(webhook.pk)
    assert site.calls[0].verified(old) == site.calls[0].verified(new)
    assert len(site.calls[0].headers["webhook-signature"].split(" ")) == 2
    with pytest.raises(Denied, match="Two secrets are live until"):
        webhooks.rotate_secret(webhook, audit.SYSTEM)
    Webhook.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    happens(north)
    delivering.drain(webhook.pk)
    assert site.calls[1].verified(new)
    with pytest.raises(WebhookVerificationError):
        site.calls[1].verified(old)


def test_a_secret_that_leaked_can_be_replaced_at_once(hook):
    webhook, _ = hook
    webhooks.rotate_secret(webhook, audit.SYSTEM)
    webhook, newest = webhooks.rotate_secret(webhook, audit.SYSTEM, overlap=timedelta(0))
    assert webhooks.live_secrets(webhook) == [newest]
    assert newest not in webhook.sealed
    with pytest.raises(seal.SealBroken):
        seal.open_(webhook.sealed, webhook.place("previous_sealed"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://169.254.169.254/latest", "not encrypted|starts with https"),
        ("https://169.254.169.254/latest", "169.254.169.254 may not be reached from here: it is a link-local"),
        ("https://10.1.2.3/hook", "10.1.2.3 may not be reached from here: it is a private address"),
        ("https://[::1]/hook", "it is this machine"),
        ("https://[::ffff:127.0.0.1]/hook", "it is this machine"),
        ("https://localhost/hook", "localhost leads to .*it is this machine"),
        ("https://2130706433/hook", "it is this machine"),
        ("https://0x7f.1/hook", "it is this machine"),
        ("ftp://hooks.example/", "starts with https"),
        ("https://", "starts with https"),
        ("https://hooks.example:99999/", "no address"),
        ("https://me:word@hooks.example/", "Leave user, password"),
        ("https://hooks.example/#part", "Leave user, password"),
        ("javascript:alert(1)", "starts with https"),
        ("https://hooks.example/" + "x" * 10_000, "500 plain characters"),
        ("https://hooks.example/\r\nHost: other", "plain characters"),
    ],
)
def test_an_address_where_we_do_not_go_is_refused_in_words(north, settings, url, words):
    settings.DEMO_NETWORKS = []
    with pytest.raises(Wrong) as wrong:
        webhooks.add(north, url, [], audit.SYSTEM)
    [said] = wrong.value.fields["url"]
    assert re.search(words, said), said


def test_staff_may_approve_a_private_network_and_nothing_more(north, settings):
    settings.DEMO_NETWORKS = []
    north.webhook_networks = ["10.1.0.0/16"]
    assert webhooks.add(north, "https://10.1.2.3/hook", [], audit.SYSTEM)
    with pytest.raises(Wrong, match="Some fields are wrong"):
        webhooks.add(north, "https://10.2.2.3/hook", [], audit.SYSTEM)


def test_the_address_is_checked_again_when_it_is_dialled(north, hook, site, settings):
    """As when a name leads elsewhere later."""
    webhook, _ = hook
    settings.DEMO_NETWORKS = []
    happens(north)
    delivering.drain(webhook.pk)
    assert "is not encrypted" in Delivery.objects.get().outcome
    Webhook.objects.update(url=site.url.replace("http://127.0.0.1", "https://localhost"), rests_until=None)
    again()
    delivering.drain(webhook.pk)
    assert "this machine" in Delivery.objects.get().outcome
    assert site.calls == []


def test_a_provider_has_a_bounded_number_of_webhooks(north):
    for number in range(webhooks.MOST):
        webhooks.add(north, f"http://127.0.0.1:9/{number}", [], audit.SYSTEM)
    with pytest.raises(Denied, match="20 webhooks at most"):
        webhooks.add(north, "http://127.0.0.1:9/more", [], audit.SYSTEM)


def test_the_same_address_again_makes_no_second_webhook_and_shows_no_secret(north, hook, site):
    again, secret = webhooks.add(north, site.url, ["server.lost"], audit.SYSTEM)
    assert (again.pk, again.events, secret) == (hook[0].pk, ["server.lost"], "")
    assert webhooks.live_secrets(again) == [hook[1]]


def test_nor_does_changing_one_to_the_address_of_another(north, hook, site):
    other, _ = webhooks.add(north, site.url + "/other", [], audit.SYSTEM)
    with pytest.raises(Wrong) as wrong:
        webhooks.change(other, audit.SYSTEM, url=site.url)
    assert "Another webhook has this address" in str(wrong.value.fields["url"])
    assert webhooks.change(other, audit.SYSTEM, url=site.url + "/other", events=["server.lost"]).events
    assert webhooks.change(other, audit.SYSTEM, url=site.url + "/moved").url.endswith("/moved")


def test_a_ping_goes_to_one_webhook_whatever_it_listens_to(north, hook, site):
    quiet, secret = webhooks.add(north, site.url + "/quiet", ["server.lost"], audit.SYSTEM)
    sent = webhooks.ping(quiet, audit.SYSTEM)
    assert delivering.drain(quiet.pk) == 1 and delivering.drain(hook[0].pk) == 0
    assert site.calls[0].verified(secret)["type"] == "ping"
    sent.refresh_from_db()
    assert sent.state == "done"
    webhooks.change(quiet, audit.SYSTEM, enabled=False)
    with pytest.raises(Denied, match="is off"):
        webhooks.ping(quiet, audit.SYSTEM)


def test_a_delivery_is_sent_again_with_the_id_that_it_had(north, hook, site):
    webhook, _ = hook
    happens(north)
    delivering.drain(webhook.pk)
    first = Delivery.objects.get()
    second = webhooks.redeliver(first, audit.SYSTEM)
    assert second.pk != first.pk
    delivering.drain(webhook.pk)
    assert [call.id for call in site.calls] == [str(first.event_id)] * 2
    assert site.calls[0].body == site.calls[1].body


def test_asking_again_for_one_that_waits_ends_its_waiting(north, hook, site):
    webhook, _ = hook
    site.says(503, {"Retry-After": "3000"})
    happens(north)
    delivering.drain(webhook.pk)
    waiting = Delivery.objects.get()
    site.says(204)
    assert delivering.drain(webhook.pk) == 0
    assert webhooks.redeliver(waiting, audit.SYSTEM).pk == waiting.pk
    assert delivering.drain(webhook.pk) == 1
    waiting.refresh_from_db()
    assert waiting.state == "done"


def test_a_removed_webhook_takes_its_deliveries_along_and_breaks_no_deed_under_way(north, hook, site):
    webhook, _ = hook
    happens(north, 5)
    removing = threading.Thread(target=lambda: (webhooks.remove(webhook, audit.SYSTEM), connections.close_all()))
    with transaction.atomic():
        assert events.fire(north, "customer.created", {"external_id": "c-9"}) == 1
        removing.start()
        removing.join(0.3)
        assert removing.is_alive(), "it waits for whoever fires"
    removing.join(10)
    assert not Webhook.objects.exists() and not Delivery.objects.exists()
    assert Event.objects.count() == 6


def test_a_suspended_provider_is_told_nothing_until_it_is_enabled_again(north, hook, site):
    webhook, _ = hook
    happens(north)
    north.status = "suspended"
    north.save()
    assert delivering.due() == 0 and delivering.drain(webhook.pk) == 0
    north.status = "enabled"
    north.save()
    assert delivering.due() == 1 and delivering.drain(webhook.pk) == 1


def test_old_events_and_deliveries_are_dropped(north, hook, site):
    webhook, _ = hook
    happens(north, 2)
    delivering.drain(webhook.pk)
    old = Event.objects.first()
    Event.objects.filter(pk=old.pk).update(at=F("at") - delivering.KEPT)
    delivering.tidy()
    assert not Event.objects.filter(pk=old.pk).exists() and Delivery.objects.count() == 1
    Delivery.objects.update(queued_at=F("queued_at") - delivering.KEPT)
    delivering.tidy()
    assert Event.objects.count() == 1 and not Delivery.objects.exists()


def test_a_mail_that_failed_is_told(north, hook):
    customers.put(north, "c-1", ADA, audit.SYSTEM)
    [(_, lease)] = claim(Mail.objects.all(), 30)
    lease.end(JobState.FAILED, "The mail server refused it: 550 no such user")
    told = Event.objects.get(type="mail.failed").data
    assert told == {
        "external_id": "c-1", "to": "ada@example.com",
        "reason": "The mail server refused it: 550 no such user",
    }  # fmt: skip


def test_a_persons_own_address_is_told_by_no_event_and_no_call(north, hook):
    """ada was known before, and changed the address that she signs in by."""
    user = UserFactory(email="ada@example.com")
    customers.put(north, "c-1", ADA, audit.SYSTEM)
    MembershipFactory(customer=Customer.objects.get(), user=UserFactory(email="new@private.example"))
    Membership.objects.filter(user=user).delete()
    Mail.objects.all().delete()
    row = mail.queue(Customer.objects.get(), Membership.objects.get())
    words = "The mail server refused it: 550 <new@private.example> no such user at private.example"
    [(_, lease)] = claim(Mail.objects.filter(pk=row.pk), 30)
    lease.end(JobState.FAILED, words)
    Mail.objects.filter(pk=row.pk).update(service_id="pm-1")
    reports.take(SimpleNamespace(message_id="pm-1", event_type="bounced", timestamp=None, description=words,
                                 mta_response="", reject_reason=""))  # fmt: skip
    told = str(list(Event.objects.filter(type="mail.failed").values_list("data", flat=True)))
    api = Api(north)("GET", "customers/c-1")
    assert api.json()["mail"]["state"] == "bounced" and "did not reach" in api.json()["mail"]["reason"]
    for face in (told, api.content.decode()):
        assert "private" not in face and "no such user" not in face
    assert Event.objects.filter(type="mail.failed").count() == 2 and "'to'" not in told


def test_a_signature_is_what_the_standard_says():
    """The example of the specification's own test vectors."""
    message = posting.signed(
        "https://hooks.example/", "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1614265330,
    )  # fmt: skip
    assert message.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
