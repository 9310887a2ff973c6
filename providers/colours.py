"""A provider's colour made readable: WCAG 2.2 contrast, by day and by night. Plain Python."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from typing import Final

RGB = tuple[float, float, float]
SURFACE_LIGHT: Final = "#ffffff"  # as static/tokens.css has them
SURFACE_DARK: Final = "#1b1c20"
ON_DARK: Final = "#0e0f11"
# Text needs 4.5:1. Soft grounds mix a tenth of the accent into the surface, which costs some of it: hence more.
WANTED: Final = 5.6
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Shades:
    """`light` and `dark` are the accent by day and by night, `on_*` the text upon it. `changed`: not as it was chosen,
    since nobody could have read it."""

    chosen: str
    light: str
    dark: str
    on_light: str = SURFACE_LIGHT
    on_dark: str = ON_DARK

    @property
    def changed(self) -> bool:
        return self.light != self.chosen


def parsed(text: str) -> str | None:
    """`#rrggbb` in lower case; None for anything else."""
    return text.lower() if _HEX.fullmatch(text) else None


def shades(chosen: str) -> Shades:
    """The nearest shades of `chosen` (#rrggbb) that can be read as text on our surfaces, and with text upon them."""
    return Shades(chosen, _moved(chosen, SURFACE_LIGHT, darker=True), _moved(chosen, SURFACE_DARK, darker=False))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    high, low = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _moved(colour: str, ground: str, *, darker: bool) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*_rgb(colour))
    best = colour
    for step in range(101):
        if contrast(best, ground) >= WANTED:
            break
        far = lightness * (1 - step / 100) if darker else lightness + (1 - lightness) * step / 100
        best = _hex(colorsys.hls_to_rgb(hue, far, saturation))
    return best


def _rgb(text: str) -> RGB:
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _hex(colour: RGB) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)


def _luminance(colour: RGB) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
