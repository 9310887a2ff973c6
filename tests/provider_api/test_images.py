"""The agent for images, by the provider API."""

from __future__ import annotations

import hashlib
import json
import tarfile
from io import BytesIO

from django.conf import settings

from providers import sandbox
from servers.agents.images import helper
from tests.provider_api.calls import Api, shaped


def test_each_package_is_listed_and_fetched_as_the_list_says(api):
    told = api("GET", "agent-packages").json()
    assert told["channel"] == str(api.provider.pk)
    assert [one["kind"] for one in told["results"]] == list(helper.FORMS)
    for one in told["results"]:
        assert one["url"].startswith(settings.PUBLIC_URL)
        reply = api("GET", f"agent-packages/{one['kind']}", Accept="application/octet-stream")
        assert reply.status_code == 200 and reply["Content-Type"] == one["media_type"]
        assert reply["Content-Disposition"] == f'attachment; filename="{one["name"]}"'
        assert len(reply.content) == one["size"] and hashlib.sha256(reply.content).hexdigest() == one["sha256"]
        assert reply.content == helper.build_for(api.provider, one["kind"]).content


def test_a_kind_that_there_is_not_is_a_404(api):
    assert "deb" in shaped(api("GET", "agent-packages/msi", Accept="image/png"), 404)["message"]


def test_it_wants_the_scope_to_read_accounts(api):
    lesser = Api(api.provider, scopes=["servers:read"])
    for path in ("agent-packages", "agent-packages/deb"):
        shaped(lesser("GET", path), 403, "scope_missing")


def test_a_test_key_gets_the_channel_of_its_sandbox(api):
    reply = Api(api.provider, sandbox=True)("GET", "agent-packages/tar")
    with tarfile.open(fileobj=BytesIO(reply.content)) as archive:
        told = archive.extractfile("usr/share/muster-agent/image.json")
        assert told and json.load(told)["channel"] == str(sandbox.twin(api.provider).pk) != str(api.provider.pk)


def test_a_renamed_provider_gets_a_recipe_with_its_new_name(api):
    before = api("GET", "agent-packages/shell").content
    api.provider.name = "Renamed Cloud"
    api.provider.save()
    after = api("GET", "agent-packages/shell").content
    assert b"Renamed Cloud" in after and b"Renamed Cloud" not in before
