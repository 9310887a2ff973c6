"""The guide for developers, as the console serves it: without a sign-in, with nothing that leads nowhere."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.conf import settings
from django.test import Client

from console.portal.guide import PAGES
from tests.desks import browser, desk
from tests.pages import text

GUIDE = "/api/docs/guide/"


@pytest.fixture
def anybody(db):
    return Client()


def addresses():
    return [f"{GUIDE}{name}/" if name else GUIDE for name in PAGES]


def test_the_guide_leads_from_a_key_to_the_first_managed_server_at_this_console(anybody):
    reply = anybody.get(GUIDE)
    words = text(reply)
    assert reply.status_code == 200 and "Integrate in an afternoon" in words
    assert words.index("1. A customer") < words.index("4. The first managed server") < words.index("Going live")
    assert "/manage" in words and "server.managed" in words
    assert f"export MUSTER={settings.PUBLIC_URL}/api/provider/v1" in words and "console.example" not in words


@pytest.mark.parametrize("address", addresses())
def test_every_link_of_the_guide_leads_somewhere(anybody, address):
    page = anybody.get(address).content.decode()
    hrefs = {unescape(one) for one in re.findall(r'<a [^>]*href="([^"]+)"', page)} - {"/"}
    assert len(hrefs) > 4
    for href in hrefs:
        path, _, anchor = href.partition("#")
        if path.startswith("http"):
            continue
        there = anybody.get(path or address)
        assert there.status_code == 200, href
        if anchor:
            assert f'id="{anchor}"' in there.content.decode(), href


def test_the_example_is_there_to_be_kept(anybody):
    reply = anybody.get(f"{GUIDE}integrate.py")
    assert "attachment" in reply["Content-Disposition"] and "integrate.py" in reply["Content-Disposition"]
    assert reply.content == (settings.BASE_DIR / "docs/examples/integrate.py").read_bytes()


def test_a_page_that_is_not_there_is_a_404(anybody):
    assert anybody.get(f"{GUIDE}passwords/").status_code == 404


def test_the_reference_leads_to_it(anybody):
    assert f"({GUIDE})" in anybody.get("/api/schema/").content.decode()


def test_a_providers_own_pages_lead_to_it_and_to_the_script(db):
    house = desk()
    page = browser(house.viewer).get(f"/provider/{house.north.slug}/").content.decode()
    assert f'href="{GUIDE}"' in page and f'href="{GUIDE}integrate.py"' in page
