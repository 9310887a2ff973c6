"""White label: readable whatever colour was chosen, no picture but pixels, previewed before anybody sees it."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client
from hypothesis import given
from hypothesis import settings as pace
from hypothesis import strategies as st
from PIL import Image

from console.lib import audit
from console.lib.denials import Denied, Wrong
from providers import branding, colours, handoff, logos
from providers.models import Brand
from tests.factories import AccountFactory, CustomerFactory, MembershipFactory, ProviderFactory, UserFactory

GIVEN = {"name": "North Cloud", "accent": "#ffd500", "support_url": "https://help.north.example/"}


def picture(size=(900, 300), kind="PNG", colour=(200, 30, 30, 255)):
    made = io.BytesIO()
    Image.new("RGBA" if kind != "JPEG" else "RGB", size, colour[: 4 if kind != "JPEG" else 3]).save(made, kind)
    return made.getvalue()


@pytest.fixture
def provider(db):
    cache.clear()
    return ProviderFactory(name="North Cloud Ltd")


colour = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


class TestColours:
    @given(colour)
    @pace(deadline=None)
    def test_whatever_was_chosen_text_can_be_read_by_day_and_by_night(self, chosen):
        made = colours.shades(chosen)
        assert colours.contrast(made.light, colours.SURFACE_LIGHT) >= 4.5
        assert colours.contrast(made.dark, colours.SURFACE_DARK) >= 4.5
        assert colours.contrast(made.light, made.on_light) >= 4.5
        assert colours.contrast(made.dark, made.on_dark) >= 4.5

    def test_a_colour_that_can_be_read_stays_as_it_was_chosen(self):
        assert colours.shades("#5446d6").light == "#5446d6"
        assert not colours.shades("#5446d6").changed
        assert colours.shades("#ffd500").changed

    def test_the_ratio_is_that_of_the_standard(self):
        assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
        assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)

    def test_the_surfaces_are_those_of_the_stylesheet(self):
        tokens = Path("static/tokens.css").read_text()
        assert f"--surface: light-dark({colours.SURFACE_LIGHT}," in tokens
        assert f"--raised: light-dark(#ffffff, {colours.SURFACE_DARK})" in tokens


class TestLogos:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_what_is_kept_is_a_small_png_of_ours(self, kind):
        kept = Image.open(io.BytesIO(logos.normal(picture(kind=kind))))
        assert kept.format == "PNG" and kept.size == (360, 120)

    def test_nothing_but_pixels_is_kept(self):
        made = io.BytesIO()
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Comment", "<script>alert(1)</script>")
        Image.new("RGB", (50, 50)).save(made, "PNG", pnginfo=info)
        assert b"script" not in logos.normal(made.getvalue() + b"<script>alert(2)</script>")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG can hold programs"),
            (b'<?xml version="1.0"?><SVG onload="x"/>', "SVG can hold programs"),
            (b"GIF89a" + b"\0" * 50, "not a picture that we know"),
            (b"nonsense", "not a picture that we know"),
            (picture()[:200], "damaged"),
            (b"x" * (1024 * 1024 + 1), "larger than 1 MB"),
        ],
    )
    def test_anything_else_is_refused_in_words(self, data, words):
        with pytest.raises(Wrong) as refused:
            logos.normal(data)
        assert words in refused.value.fields["logo"][0]

    def test_a_bomb_is_refused_before_it_is_unpacked(self):
        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
            + chunk(b"IEND", b"")
        )
        with pytest.raises(Wrong):
            logos.normal(bomb)

    @given(st.binary(max_size=2000))
    @pace(deadline=None)
    def test_no_bytes_break_it(self, data):
        with pytest.raises(Wrong):
            logos.normal(b"\x89PNG\r\n\x1a\n" + data)


class TestRevisions:
    def test_a_draft_is_seen_by_nobody_until_it_is_published(self, provider):
        brand = branding.save(provider, GIVEN, audit.SYSTEM, logo=picture())
        assert branding.live(provider) == branding.plain(provider)
        branding.publish(brand, audit.SYSTEM)
        look = branding.live(provider)
        assert (look.name, look.shades.chosen, bool(look.logo)) == ("North Cloud", "#ffd500", True)

    def test_an_older_revision_can_come_back(self, provider):
        first, second = (branding.save(provider, {**GIVEN, "name": name}, audit.SYSTEM) for name in ("One", "Two"))
        for brand in (first, second, first):
            branding.publish(brand, audit.SYSTEM)
            assert branding.live(provider).name == brand.name
        assert [one.revision for one in Brand.objects.all()] == [2, 1]

    def test_the_logo_stays_until_another_or_none_is_sent(self, provider):
        assert branding.look_of(branding.save(provider, GIVEN, audit.SYSTEM, logo=picture())).logo
        assert branding.look_of(branding.save(provider, GIVEN, audit.SYSTEM)).logo
        assert not branding.look_of(branding.save(provider, GIVEN, audit.SYSTEM, logo=b"")).logo

    def test_withdrawn_it_is_the_name_alone(self, provider):
        branding.publish(branding.save(provider, GIVEN, audit.SYSTEM), audit.SYSTEM)
        branding.withdraw(provider, audit.SYSTEM)
        assert branding.live(provider).name == "North Cloud Ltd"
        with pytest.raises(Denied):
            branding.withdraw(provider, audit.SYSTEM)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""), ("name", "x" * 121), ("name", "a\nb"), ("accent", "red"), ("accent", "#12345"),
            ("accent", "#fff;}body{display:none"), ("support_url", "javascript:alert(1)"), ("support_url", "ftp://a"),
            ("support_url", 'https://a.example/"onload='), ("support_email", "nobody"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_refused_by_field(self, provider, field, value):
        with pytest.raises(Wrong) as refused:
            branding.save(provider, {**GIVEN, field: value}, audit.SYSTEM)
        assert list(refused.value.fields) == [field]


class TestPages:
    @pytest.fixture
    def brand(self, provider):
        brand = branding.save(provider, GIVEN, audit.SYSTEM, logo=picture())
        branding.publish(brand, audit.SYSTEM)
        return brand

    @pytest.fixture
    def alice(self, provider):
        customer = CustomerFactory(provider=provider)
        membership = MembershipFactory(customer=customer, user=UserFactory(email="alice@example.com"))
        AccountFactory(customer=customer)
        browser = Client()
        browser.force_login(membership.user, backend="django.contrib.auth.backends.ModelBackend")
        browser.customer = customer
        return browser

    def test_the_customers_console_wears_it(self, brand, alice):
        page = alice.get("/servers/").content.decode()
        assert f"/brand/{brand.pk}/style.css" in page and f"/brand/{brand.pk}/logo.png" in page
        assert "Help from North Cloud" in page
        style = alice.get(f"/brand/{brand.pk}/style.css")
        assert re.search(r"--accent: light-dark\(#[0-9a-f]{6}, #[0-9a-f]{6}\)", style.content.decode())
        assert "immutable" in style["Cache-Control"] and style["Content-Type"].startswith("text/css")
        logo = alice.get(f"/brand/{brand.pk}/logo.png")
        assert logo["Content-Type"] == "image/png" and logo.content.startswith(b"\x89PNG")
        assert logo["X-Content-Type-Options"] == "nosniff"

    def test_who_rents_at_two_providers_sees_ours(self, brand, alice):
        other = CustomerFactory(provider=ProviderFactory(name="South"))
        MembershipFactory(customer=other, user=alice.customer.people.get())
        AccountFactory(customer=other)
        assert "/brand/" not in alice.get("/servers/").content.decode()

    def test_who_has_no_account_yet_sees_the_providers_too(self, brand, alice):
        alice.customer.accounts.all().delete()
        assert "/brand/" in alice.get("/servers/").content.decode()

    def test_the_page_behind_a_hand_off_wears_it(self, brand, alice):
        address = handoff.offer(alice.customer, audit.SYSTEM).url.removeprefix("http://127.0.0.1:8000")
        page = Client().get(address).content.decode()
        assert f"/brand/{brand.pk}/logo.png" in page and "Runs on Muster" in page

    def test_a_name_with_markup_is_shown_as_text(self, provider, alice):
        branding.publish(branding.save(provider, {**GIVEN, "name": "<b>N</b>"}, audit.SYSTEM, logo=b""), audit.SYSTEM)
        page = alice.get("/servers/").content.decode()
        assert "<b>N</b>" not in page and "&lt;b&gt;N&lt;/b&gt;" in page

    def test_an_unknown_revision_is_a_404(self, db, client):
        for name in ("style.css", "logo.png"):
            assert client.get(f"/brand/00000000-0000-4000-8000-000000000000/{name}").status_code == 404
