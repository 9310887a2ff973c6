"""Mail rows go out through a real SMTP conversation, and say how it went in the mail server's own words."""

from __future__ import annotations

import email
import re
import socket
from datetime import timedelta
from email import policy

import pytest
from django.utils import timezone

from console.lib import audit
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from providers import customers, links, mail, tasks
from providers.models import Mail, SignInLink
from tests.factories import ProviderFactory
from tests.mailserver import serving

pytestmark = pytest.mark.django_db(transaction=True)
ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines & Söhne"}


@pytest.fixture
def server(settings):
    with serving() as site:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = site.host, site.port, 5
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.MAIL_FOLDER = None
        yield site


@pytest.fixture
def row():
    provider = ProviderFactory(name="North Cloud", support_url="https://north.example/help")
    customers.put(provider, "c-1", ADA, audit.SYSTEM)
    return Mail.objects.get()


def run(row):
    """As a worker does, once."""
    tasks.send(str(row.pk))
    row.refresh_from_db()
    return row


def test_a_mail_goes_out_as_text_and_html_with_the_same_working_link(server, row):
    assert (run(row).state, row.delivery, row.outcome) == ("done", "sent", "The mail server took it.")
    [raw] = server.taken
    message = email.message_from_bytes(raw, policy=policy.default)
    assert message["To"] == "ada@example.com"
    assert "North Cloud" in message["Subject"]
    assert message["Message-ID"] == row.message_id
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    [token] = set(re.findall(r"/welcome/([\w-]+)/", text))
    assert set(re.findall(r"/welcome/([\w-]+)/", html)) == {token}
    assert "Engines & Söhne" in text and "Engines &amp; Söhne" in html
    assert links.peek(token, SignInLink.Purpose.SET_PASSWORD).user.email == "ada@example.com"


def test_no_link_rests_in_the_row_or_in_the_doorbell(server, row):
    run(row)
    [token] = set(re.findall(rb"/welcome/([\w-]+)/", server.taken[0].replace(b"=\r\n", b"")))
    stored = str(list(Mail.objects.values())) + str(list(SignInLink.objects.values()))
    assert token.decode() not in stored


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("RCPT", "550 5.1.1 No such person here"),
        ("MAIL", "553 We do not relay for you"),
        ("END", "554 Looks like spam"),
    ],
)
def test_a_final_no_ends_the_mail_with_the_servers_own_words(server, row, verb, said):
    server.answers[verb] = said
    assert (run(row).state, row.delivery) == ("failed", "failed")
    assert said.removeprefix("550 ") in row.outcome
    assert said[:3] in row.outcome


@pytest.mark.parametrize(("verb", "said"), [("RCPT", "450 Greylisted, try later"), ("END", "451 Disk full")])
def test_a_put_off_mail_is_tried_again_later(server, row, verb, said):
    server.answers[verb] = said
    before = timezone.now()
    assert (run(row).state, row.delivery, row.attempts) == ("queued", "queued", 1)
    assert said[4:] in row.outcome
    assert row.due_at >= before - timedelta(seconds=1)
    server.answers.clear()
    Mail.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert run(row).state == "done"
    assert row.attempts == 2


def test_a_mail_server_that_is_away_or_hangs_up_loses_no_mail(server, row, settings):
    server.hang_up_on = "DATA"
    assert (run(row).state, row.attempts) == ("queued", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = unused.getsockname()[1]  # bound, nobody listens
        Mail.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert (run(row).state, row.attempts) == ("queued", 2)
    assert "does not answer" in row.outcome


def test_it_is_given_up_after_enough_attempts_with_the_last_words(server, row):
    server.answers["RCPT"] = "450 Greylisted"
    Mail.objects.update(attempts=KINDS[mail.TASK].attempts - 1)
    assert run(row).state == "failed"
    assert "Greylisted" in row.outcome


def test_a_repeat_after_a_crash_has_the_same_message_id_and_both_links_work(server, row):
    [(held, lease)] = leases.claim(Mail.objects.all(), 30)
    mail.send(held)  # the worker dies here: the mail is out, the row does not know
    Mail.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert run(row).state == "done"
    messages = [email.message_from_bytes(raw, policy=policy.default) for raw in server.taken]
    assert len({message["Message-ID"] for message in messages}) == 1
    texts = [message.get_body(("plain",)).get_content() for message in messages]
    tokens = {re.search(r"/welcome/([\w-]+)/", text).group(1) for text in texts}
    assert len(tokens) == 2
    assert all(links.peek(token, SignInLink.Purpose.SET_PASSWORD) for token in tokens)
    with pytest.raises(leases.Lost):
        lease.end("done")


def test_a_mail_that_breaks_in_our_own_hands_ends_with_words_too(row, settings):
    settings.EMAIL_BACKEND = "console.lib.nothing.Here"
    [(held, lease)] = leases.claim(Mail.objects.all(), 30)
    work(KINDS[mail.TASK], lambda one, _: mail.send(one), held, lease)
    row.refresh_from_db()
    assert (row.state, row.delivery) == ("failed", "failed")
    assert "our side" in row.outcome


class TestTheMailsOfATrial:
    @pytest.fixture
    def kept(self, settings, tmp_path, row):
        settings.MAIL_FOLDER, settings.DEMO = tmp_path / "mail", True
        settings.EMAIL_BACKEND = "console.lib.eml.FolderBackend"
        assert run(row).state == "done"
        return next((tmp_path / "mail").glob("*.eml")).stem

    def test_they_are_listed_and_shown_with_a_link_that_can_be_clicked(self, kept, client):
        assert b"ada@example.com" in client.get("/_mail/").content
        page = client.get(f"/_mail/{kept}/")
        assert re.search(rb'<a href="http://[^"]+/welcome/[\w-]+/"', page.content)
        assert "frame-src 'self'" in page["Content-Security-Policy"]

    def test_their_html_runs_no_script_and_fetches_nothing(self, kept, client):
        page = client.get(f"/_mail/{kept}/html")
        policy_said = page["Content-Security-Policy"]
        assert "default-src 'none'" in policy_said and "sandbox" in policy_said
        assert "allow-scripts" not in policy_said and "script-src 'none'" in policy_said
        assert page["X-Frame-Options"] == "SAMEORIGIN"
        assert b'<base target="_top">' in page.content

    def test_outside_the_demo_there_are_none(self, kept, client, settings):
        settings.DEMO = False
        assert {client.get(path).status_code for path in ("/_mail/", f"/_mail/{kept}/", f"/_mail/{kept}/html")} == {404}
        settings.DEMO, settings.MAIL_FOLDER = True, None
        assert client.get("/_mail/").status_code == 404

    @pytest.mark.parametrize("name", ["..%2f..%2fsecret", "nothing", ".", "%2e%2e"])
    def test_no_other_file_is_shown(self, kept, client, name):
        assert client.get(f"/_mail/{name}/").status_code == 404
