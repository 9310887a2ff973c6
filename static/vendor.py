"""Copies the front-end files that pages use from npm into static/vendor/, at the versions in package-lock.json.

Run it after a change of package.json or of icons.txt: `python static/vendor.py` (needs Node's npm; Muster does not).
What it writes is committed. Packages are unpacked in a temporary folder: all of static/ is served.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "vendor"

FILES = {
    "htmx.org/dist/htmx.min.js": "htmx/htmx.min.js",
    "htmx.org/LICENSE": "htmx/LICENSE",
    "idiomorph/dist/idiomorph-ext.min.js": "htmx/idiomorph-ext.min.js",
    "idiomorph/LICENSE": "htmx/LICENSE-idiomorph",
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "@tabler/icons/LICENSE": "icons/LICENSE",
    "uplot/dist/uPlot.iife.min.js": "uplot/uplot.min.js",
    "uplot/dist/uPlot.min.css": "uplot/uplot.min.css",
    "uplot/LICENSE": "uplot/LICENSE",
    "@xterm/xterm/lib/xterm.js": "xterm/xterm.min.js",
    "@xterm/xterm/css/xterm.css": "xterm/xterm.css",
    "@xterm/xterm/LICENSE": "xterm/LICENSE",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter/inter-latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter/inter-latin-ext.woff2",
    "@fontsource-variable/inter/LICENSE": "inter/LICENSE",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2": "mono/mono-latin.woff2",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-ext-wght-normal.woff2": "mono/mono-latin-ext.woff2",
    "@fontsource-variable/jetbrains-mono/LICENSE": "mono/LICENSE",
}

SOURCE_MAP = re.compile(rb"\s*(?:/\*[#@]\s*sourceMappingURL=.*?\*/|//[#@]\s*sourceMappingURL=\S+)\s*$")


def main() -> None:
    """Install the locked packages aside, then write static/vendor/ anew."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not on the PATH. Install Node 20 or newer, then run this again.")
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            if (HERE / name).exists():
                shutil.copy(HERE / name, aside / name)
        subprocess.run([npm, "install"], cwd=aside, check=True)
        keep_lock(aside / "package-lock.json")
        shutil.rmtree(VENDOR, ignore_errors=True)
        modules = aside / "node_modules"
        for source, target in FILES.items():
            copy(modules / source, VENDOR / target)
        (VENDOR / "icons" / "tabler.svg").write_text(sprite(modules), encoding="utf-8")
        (VENDOR / "VERSIONS").write_text(versions(modules), encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """One file, without the pointer to a source map that is not shipped (hashed static storage refuses such)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    if source.suffix in {".css", ".js"}:
        data = SOURCE_MAP.sub(b"", data) + b"\n"
    target.write_bytes(data)


def sprite(modules: Path) -> str:
    """One SVG whose symbols are the outline icons that pages use: `<use href="…/tabler.svg#server">`."""
    symbols = []
    for name in (HERE / "icons.txt").read_text(encoding="utf-8").split():
        drawing = (modules / "@tabler/icons/icons/outline" / f"{name}.svg").read_text(encoding="utf-8")
        body = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", drawing, flags=re.DOTALL)
        body = re.sub(r'<path stroke="none"[^>]*/>', "", body)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{" ".join(body.split())}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def keep_lock(lock: Path) -> None:
    """The lock keeps versions and hashes; where packages or their makers live is nobody's business here."""
    content = json.loads(lock.read_text(encoding="utf-8"))
    for package in content["packages"].values():
        package.pop("resolved", None)
        package.pop("funding", None)
    (HERE / lock.name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def versions(modules: Path) -> str:
    """What static/vendor/ holds: name, version, licence, one a line."""
    lines = []
    for name in json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]:
        package = json.loads((modules / name / "package.json").read_text(encoding="utf-8"))
        lines.append(f"{name} {package['version']} {package['license']}\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
