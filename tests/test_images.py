"""The Helper for images: nothing secret, the same bytes each time, and instances that are managed by themselves."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from console.lib import signing
from providers.models import Provider
from servers.agents.images import helper
from servers.agents.models import Agent
from servers.agents.program import build
from servers.models import Server
from tests.claim_places import MAKERS, Place, place_at, synced
from tests.conftest import People
from tests.factories import CustomerFactory, ProviderFactory
from tests.instances import Instance, passing
from tests.processes import wait
from tests.stack import console

log = logging.getLogger(__name__)


@pytest.fixture
def provider(db: None) -> Provider:
    return ProviderFactory(slug="north-cloud", name="North's Cloud")


@pytest.mark.parametrize("form", helper.FORMS)
def test_the_same_input_gives_the_same_bytes_with_nothing_secret_in_them(provider: Provider, form: str) -> None:
    one, (name, again) = helper.build_for(provider, form), helper.FORMS[form].make(provider)
    assert (one.name, one.content) == (name, again) and len(one.content) < 300 * 1024
    kept = [seed for _, seed in django_settings.SIGN_KEYS] + [key for _, key in django_settings.SEAL_KEYS]
    for secret in kept:
        assert secret not in one.content and signing.encode(secret).encode() not in one.content


def test_the_archive_holds_the_program_and_what_an_instance_has_to_know(provider: Provider) -> None:
    with tarfile.open(fileobj=BytesIO(helper.build_for(provider, "tar").content)) as archive:
        read = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    told = json.loads(read["usr/share/muster-agent/image.json"])
    assert told["channel"] == str(provider.pk) and told["url"] == django_settings.PUBLIC_URL
    assert told["keys"] == signing.public_keys()
    assert read["usr/share/muster-agent/muster-agent.pyz"] == build.pack()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="apt install dpkg")
def test_debian_reads_the_package(provider: Provider, tmp_path: Path) -> None:
    made = helper.build_for(provider, "deb")
    (tmp_path / made.name).write_bytes(made.content)
    said = subprocess.run(
        ["dpkg-deb", "-I", made.name], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "Package: muster-agent" in said and "python3 (>= 3.6)" in said and "postinst" in said and "prerm" in said


@pytest.mark.skipif(not shutil.which("rpm"), reason="apt install rpm")
def test_rpm_reads_the_package(provider: Provider, tmp_path: Path) -> None:
    made = helper.build_for(provider, "rpm")
    (tmp_path / made.name).write_bytes(made.content)
    words = ["rpm", "-qp", "--nosignature", "--requires", "--scripts", "-l", made.name]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "python3 >= 3.6" in said and "install --image" in said and "/usr/share/muster-agent/image.json" in said


@pytest.mark.parametrize("form", ["shell", "cloud-init"])
def test_recipes_fetch_the_program_by_its_hash(provider: Provider, form: str) -> None:
    text = helper.build_for(provider, form).content.decode()
    assert text.count(build.artifact().sha256) >= 2 and str(provider.pk) in text
    if form == "shell":
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_staff_build_it_by_command(provider: Provider, tmp_path: Path) -> None:
    call_command("build_helper", "north-cloud", "--out", str(tmp_path / "out"))
    assert len(list((tmp_path / "out").iterdir())) == len(helper.FORMS)
    with pytest.raises(CommandError, match="There is no provider"):
        call_command("build_helper", "nowhere")


# instances of it


class Fleet:
    """Instances of one provider's image, at two of its customers in turn, in network namespaces of their own."""

    def __init__(self, places: list[Place], url: str, folder: Path, stack: ExitStack) -> None:
        self.places, self.url, self.folder = places, url, folder
        self._passing = stack.enter_context(passing())
        self._stack = stack
        made = helper.build_for(places[0].provider, "deb")
        self.package = folder / made.name
        self.package.write_bytes(made.content)
        self._count = 0

    def instance(self, disk: Instance | None = None) -> Instance:
        """A new one, whose disk is the image, or a copy of another one's."""
        place = self.places[self._count % len(self.places)]
        self._count += 1
        number = self._count
        name = f"mst-{secrets.token_hex(4)}"
        launched = place.launch(f"web-{number}", f"10.77.{number // 250}.{number % 250 + 1}")
        if disk is None:
            made = Instance(name, launched, self.folder / name, self._passing)
            made.lay(self.package, {"url": self.url, "platform": launched.platform})
        else:
            made = disk.copy(name, launched)
        self._stack.callback(made.end)
        source = f"127.77.{number // 250}.{number % 250 + 1}"
        resident = place.residents.at(launched.address)
        assert resident is not None
        place.residents.put(source, resident.cloud, resident.id)
        made.plug(self.url.removeprefix("http://"), place.service, source)
        return made

    def read(self) -> None:
        """The console lists what there is."""
        for place in self.places:
            wait(lambda place=place: synced(place))

    def wrong(self, instances: list[Instance]) -> list[str]:
        """Those whose agent is none, or that of another server: by what stands on their disks."""
        rows = {str(row.pk): row.server for row in Agent.objects.select_related("server")}
        return [
            one.name
            for one in instances
            if (server := rows.get(one.agent_id())) is None or server.external_id != one.launched.external_id
        ]


@pytest.fixture(params=MAKERS)
def fleet(
    request: pytest.FixtureRequest, people: People, tmp_path: Path, full_or: Callable[[Any, Any], Any]
) -> Iterator[Fleet]:
    with ExitStack() as stack:
        url = stack.enter_context(console(AGENT_INTERVAL=full_or("30", "1")))
        places = [
            stack.enter_context(place_at(request.param, customer, tmp_path / customer.external_id))
            for customer in (people.customer, CustomerFactory())
        ]
        pace = full_or(1, 8)  # Nova's fifteen seconds, or two
        for number, place in enumerate(places):
            place.cloud.random.seed(number)  # two clouds give no id twice
            place.residents._clock = lambda: time.monotonic() * pace
            place.account.endpoint.provider = places[0].provider
            place.account.endpoint.save()
        yield Fleet(places, url, tmp_path, stack)


def managed(instance: Instance) -> bool:
    return Agent.objects.filter(
        server__external_id=instance.launched.external_id, state="live", first_seen_at__isnull=False
    ).exists()


def _may() -> bool:
    """Whether this user may make a network namespace; `unshare` comes with every Debian."""
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0  # noqa: S607


# What is the same at every cloud is told at one; `make test-full` tells it at all.
of_one_cloud = pytest.mark.parametrize(
    "fleet",
    [one if one == "openstack" else pytest.param(one, marks=pytest.mark.full) for one in MAKERS],
    indirect=True,
)

# Where nobody may make one (a container without the right), these are left to `make test-full`.
namespaces = pytest.mark.skipif(not shutil.which("ip"), reason="apt install iproute2") if _may() else pytest.mark.full


def late(took: list[float]) -> float:
    """The 95th of a hundred, of seconds in their order."""
    return took[int(len(took) * 0.95) - 1]


@namespaces
@pytest.mark.django_db(transaction=True)
def test_instances_of_one_image_are_managed_by_themselves_each_in_its_own_row(
    fleet: Fleet, full_or: Callable[[int, int], int]
) -> None:
    count = full_or(200, 3)
    instances = [fleet.instance() for _ in range(count)]
    fleet.read()
    began: dict[str, float] = {}
    for one in instances:
        began[one.launched.external_id] = time.time()
        one.boot()
    wait(lambda: Agent.objects.filter(first_seen_at__isnull=False).count() >= count, 100, "all are managed")
    took = sorted(
        seen.timestamp() - began[id] for id, seen in Agent.objects.values_list("server__external_id", "first_seen_at")
    )
    words = "%s: %d managed after %.1f s (p50), %.1f s (p95), %.1f s (the last)"
    log.info(words, instances[0].launched.platform, count, took[count // 2], late(took), took[-1])
    assert late(took) <= 90
    assert Agent.objects.count() == count == Server.objects.filter(agent__isnull=False).count()
    assert not fleet.wrong(instances)
    wait(lambda: instances[0].run("status", "--json")["reporting"])  # noted when the answer has come


@of_one_cloud
@namespaces
@pytest.mark.django_db(transaction=True)
def test_copies_of_a_machine_get_identities_of_their_own(fleet: Fleet, full_or: Callable[[int, int], int]) -> None:
    original = fleet.instance()
    fleet.read()
    original.boot()
    wait(lambda: managed(original), 60, "the original is managed")
    first = Agent.objects.get()
    copies = [fleet.instance(original) for _ in range(full_or(50, 2))]
    fleet.read()
    for copy in copies:
        copy.boot()
    wait(lambda: all(managed(copy) for copy in copies), 120, "the copies are managed")
    first.refresh_from_db()
    assert first.state == "live" and managed(original)
    assert len(set(Agent.objects.values_list("public_key", flat=True))) == len(copies) + 1 == Agent.objects.count()
    assert not fleet.wrong([original, *copies])


@of_one_cloud
@namespaces
@pytest.mark.django_db(transaction=True)
def test_a_sealed_machine_has_forgotten_who_it_was(fleet: Fleet) -> None:
    builder = fleet.instance()
    fleet.read()
    builder.boot()
    wait(lambda: managed(builder), 60, "the builder is managed")
    said = builder.run("seal")
    assert said["ok"] and said["removed"] >= 2
    left = {path.name for path in (builder.folder / "var/lib/muster-agent").iterdir()}
    assert left <= {"receipt.json", "install.lock"}
    config = json.loads((builder.folder / "etc/muster-agent/config.json").read_text())
    assert "token" not in config and "key" not in config and config["channel"]
    instance = fleet.instance(builder)
    fleet.read()
    instance.boot()
    wait(lambda: managed(instance), 60, "the instance is managed")
    assert Agent.objects.count() == 2
