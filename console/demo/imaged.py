"""Instances of the provider's image. Each has the provider's agent Helper on its disk, as `build_helper` packs it, and
reads its own metadata from a service of its own: what it needs to be managed by itself, as at a real cloud.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from console.demo.cloud import Cloud
from console.demo.keep import write_private
from console.demo.metadata import Residents, serve
from console.demo.offers import Image

NAME: Final = "debian-12-managed"
MOST: Final = 8
"""So many run at once: each is a few real processes."""
HELPER: Final = ("usr", "share", "muster-agent")
NO_ROOM: Final = (
    "No valid host was found. This simulated cloud really runs {most} instances of its managed image at once: "
    "delete one first."
)

Pack = Callable[[], bytes]
"""The provider's Helper as a tar archive of files below /."""


def offered(cloud: Cloud) -> Image:
    """The image, which the cloud offers from now on."""
    with cloud.lock:
        found = next((one for one in cloud.images.values() if one.name == NAME), None)
        if found is None:
            found = Image(cloud.new_id(), NAME, size=2**29)
            cloud.images[found.id] = found
    return found


@dataclass(eq=False)
class Disk:
    """What makes an instance of the image more than a machine that answers SSH. `root` is its /."""

    cloud: Cloud
    id: str
    address: str
    root: Path
    pack: Pack
    _running: ExitStack = field(default_factory=ExitStack)
    _service: str = ""

    @property
    def _settings(self) -> Path:
        return self.root.joinpath(*HELPER, "image.json")

    def plug(self) -> None:
        """Its metadata service answers, at the instance's own address: whoever asks there is this instance."""
        residents = Residents()
        residents.put("127.0.0.1", self.cloud, self.id)
        port = 0
        if self._settings.exists():  # where its agent looks
            port = int(json.loads(self._settings.read_text())["metadata"].rpartition(":")[2])
        self._service = self._running.enter_context(serve(residents, self.address, port))

    def unplug(self) -> None:
        """Nobody answers there any more."""
        self._running.close()

    def first_boot(self) -> list[str]:
        """The image is on the disk now: the words that start what is in it. [] when it has booted before."""
        if self._settings.exists():
            return []
        with tarfile.open(fileobj=io.BytesIO(self.pack())) as archive:
            archive.extractall(self.root, filter="data")
        firmware = self.root / "sys/class/dmi/id"
        firmware.mkdir(parents=True, exist_ok=True)
        (firmware / "product_uuid").write_text(self.id + "\n")
        told = json.loads(self._settings.read_text())
        write_private(self._settings, json.dumps(told | {"platform": "openstack", "metadata": self._service}))
        return [str(self._settings.with_name("muster-agent.pyz")), "install", "--image", str(self._settings)]

    def wipe(self) -> None:
        """The next boot is the first one."""
        shutil.rmtree(self.root, ignore_errors=True)
