"""Settings that are each right and together wrong: the check says which, and what to write."""

from __future__ import annotations

import pytest
from django.core import checks
from django.test import override_settings

SOUND = {
    "PUBLIC_URL": "https://console.example",
    "SECURE": True,
    "TRUSTED_PROXIES": ["192.0.2.1"],
    "DEMO": False,
    "ALLOWED_HOSTS": ["console.example"],
    "SECRET_KEY": "".join(map(chr, range(40, 100))),
    "MAIL_FOLDER": None,
    "DEFAULT_FROM_EMAIL": "Muster <no-reply@console.example>",
    "EMBEDDED": None,
}


def found(**changed: object) -> list[str]:
    with override_settings(**{**SOUND, **changed}):
        messages = checks.run_checks(tags=["muster"])
    assert all(message.hint for message in messages), "every message says what to write"
    return [message.id for message in messages]


def test_a_sound_production_is_silent():
    assert found() == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"PUBLIC_URL": "http://console.example", "SECURE": False}, "muster.E001"),
        ({"TRUSTED_PROXIES": []}, "muster.E002"),
        ({"ALLOWED_HOSTS": ["elsewhere.example"]}, "muster.E003"),
        ({"DEMO": True}, "muster.E004"),
        ({"SECRET_KEY": "a" * 60}, "muster.E005"),
        ({"SECRET_KEY": "django-insecure-" + SOUND["SECRET_KEY"]}, "muster.E005"),
        ({"DEFAULT_FROM_EMAIL": "Muster <no-reply@localhost>"}, "muster.W002"),
    ],
)
def test_a_mistake_is_named(changed, says):
    assert found(**changed) == [says]


def test_a_trial_on_ones_own_machine_is_sound():
    assert (
        found(
            PUBLIC_URL="http://127.0.0.1:8000",
            SECURE=False,
            DEMO=True,
            EMBEDDED=object(),
            TRUSTED_PROXIES=[],
            ALLOWED_HOSTS=["127.0.0.1"],
            MAIL_FOLDER="mail",
        )
        == []
    )


def test_a_trial_on_an_external_database_is_warned_of():
    assert found(
        PUBLIC_URL="http://localhost:8000", SECURE=False, DEMO=True, TRUSTED_PROXIES=[], ALLOWED_HOSTS=["localhost"]
    ) == ["muster.W001"]
