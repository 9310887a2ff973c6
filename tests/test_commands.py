"""Staff commands: twice is harmless, a secret is printed once as the last line, and wrong words get a hint."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from console.models import AuditEntry, User
from providers import keys
from providers.models import CloudEndpoint, Provider, ProviderKey, SignInLink
from tests.factories import ProviderFactory, UserFactory

pytestmark = pytest.mark.django_db


def run(*words):
    """The lines that the command printed."""
    said = io.StringIO()
    call_command(*words, stdout=said)
    return said.getvalue().strip().splitlines()


def refused(*words):
    with pytest.raises(CommandError) as fault:
        run(*words)
    return str(fault.value)


def test_add_provider_makes_and_enables_it_and_twice_is_harmless():
    for _ in range(2):
        run("add_provider", "acme", "--name", "Acme Cloud")
    provider = Provider.objects.get()
    assert (provider.slug, provider.name, provider.status) == ("acme", "Acme Cloud", "enabled")
    assert AuditEntry.objects.filter(verb="provider.enabled").count() == 1
    run("add_provider", "acme", "--name", "Acme")
    assert Provider.objects.get().name == "Acme"


def test_add_provider_key_prints_a_working_key_as_the_last_line_and_keeps_none():
    ProviderFactory(slug="acme")
    text = run("add_provider_key", "acme", "--scope", "customers:read", "--scope", "servers:read,accounts:read")[-1]
    assert keys.find(text).scopes == ["accounts:read", "customers:read", "servers:read"]
    assert text not in str(list(ProviderKey.objects.values()))
    assert run("add_provider_key", "acme", "--sandbox")[-1].startswith("mst_test_")


def test_add_endpoint_registers_it_once_and_brings_it_up_to_date():
    ProviderFactory(slug="acme")
    words = ("add_endpoint", "acme", "nova", "openstack", "https://cloud.example/v3", "--allow-network", "10.0.0.0/8")
    for _ in range(2):
        run(*words)
    assert CloudEndpoint.objects.get().networks == ["10.0.0.0/8"]
    run(*words, "--region", "north", "--version", "v3")
    endpoint = CloudEndpoint.objects.get()
    assert (endpoint.region, endpoint.version) == ("north", "v3")
    verbs = AuditEntry.objects.filter(verb__startswith="endpoint.").values_list("verb", flat=True)
    assert sorted(verbs) == ["endpoint.changed", "endpoint.registered"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("nova", "openstack", "http://cloud.example/"), "--allow-http"),
        (("nova", "openstack", "cloud.example"), "https://"),
        (("nova", "openstack", "https://user:secret@cloud.example/"), "Leave out user"),
        (("nova", "openstack", "https://[broken/"), "not an address"),
        (("nova", "aws", "https://cloud.example/"), "cloudstack"),
        (("no va", "openstack", "https://cloud.example/"), "hyphens"),
        (("nova", "openstack", "https://cloud.example/", "--allow-network", "10.0.0.1/8"), "10.20.0.0/16"),
        (("nova", "openstack", "https://cloud.example/", "--ca", "/nowhere/ca.pem"), "No such file"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_a_hint(words, hint):
    ProviderFactory(slug="acme")
    assert hint in refused("add_endpoint", "acme", *words)
    assert not CloudEndpoint.objects.exists()


def test_a_ca_file_without_certificates_is_refused(tmp_path):
    ProviderFactory(slug="acme")
    file = tmp_path / "ca.pem"
    file.write_text("hello")
    said = refused("add_endpoint", "acme", "nova", "openstack", "https://cloud.example/", "--ca", str(file))
    assert "BEGIN CERTIFICATE" in said


def test_an_unknown_provider_is_named_with_those_that_are_known():
    ProviderFactory(slug="acme")
    for words in (
        ("add_provider_key", "acne"),
        ("add_endpoint", "acne", "nova", "openstack", "https://cloud.example/"),
    ):
        said = refused(*words)
        assert "acme" in said and "add_provider" in said


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("add_provider", "no slug", "--name", "x"), "hyphens"),
        (("add_provider", "acme"), "--name"),
        (("add_provider", "acme", "--name", " "), "name of 1 to 120"),
        (("sign_in_link", "nobody"), "no e-mail address"),
        (("sign_in_link", "nobody@example.com"), "--staff"),
    ],
)
def test_wrong_arguments_get_a_hint(words, hint):
    assert hint in refused(*words)


def test_an_unknown_scope_is_refused_with_those_that_are_known():
    ProviderFactory(slug="acme")
    assert "customers:read" in refused("add_provider_key", "acme", "--scope", "all")


def test_sign_in_link_prints_a_link_that_works_once():
    UserFactory(email="alice@example.com")
    path = re.sub(r"^http://[^/]+", "", run("sign_in_link", "Alice@example.com")[-1])
    assert Client().post(path).status_code == 302
    assert Client().post(path).status_code == 410
    assert SignInLink.objects.get().customer is None


def test_sign_in_link_with_staff_makes_a_member_of_staff_who_lands_in_the_admin():
    for _ in range(2):
        url = run("sign_in_link", "boss@example.com", "--staff")[-1]
    person = User.objects.get()
    assert person.is_staff and person.is_superuser and not person.has_usable_password()
    browser = Client()
    reply = browser.post(re.sub(r"^http://[^/]+", "", url))
    assert reply["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert AuditEntry.objects.filter(verb="person.made_staff").count() == 1


def test_somebody_who_is_turned_off_gets_no_link():
    UserFactory(email="alice@example.com", is_active=False)
    assert "turned off" in refused("sign_in_link", "alice@example.com")
