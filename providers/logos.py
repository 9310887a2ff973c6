"""A provider's logo: whatever picture came in, what is kept is a small PNG that we encoded ourselves."""

from __future__ import annotations

import io
import warnings
from typing import Final

from PIL import Image, UnidentifiedImageError

from console.lib.denials import Wrong

MOST_BYTES: Final = 1024 * 1024
MOST_PIXELS: Final = 4096  # of a side
BOX: Final = (480, 120)  # pixels that it is fitted into: twice what pages show
_FORMATS: Final = ("PNG", "JPEG", "WEBP")


def normal(data: bytes) -> bytes:
    """The picture as a PNG of at most 480 × 120 pixels, without anything but pixels. Wrong (`logo`) with the reason."""
    if len(data) > MOST_BYTES:
        raise _wrong("The logo is larger than 1 MB. Send a smaller one.")
    if b"<svg" in data[:4096].lower():
        raise _wrong("SVG can hold programs, so it is not taken. Send the logo as PNG, JPEG or WebP.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                if max(picture.size) > MOST_PIXELS:  # known before a pixel is decoded
                    raise _wrong(f"The logo is larger than {MOST_PIXELS} pixels. Send a smaller one.")
                drawn = picture.convert("RGBA")
    except UnidentifiedImageError as fault:
        raise _wrong("This is not a picture that we know. Send the logo as PNG, JPEG or WebP.") from fault
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError) as fault:
        raise _wrong("This picture is damaged. Export it again as PNG, JPEG or WebP.") from fault
    drawn.thumbnail(BOX, Image.Resampling.LANCZOS)
    made = io.BytesIO()
    clean = Image.new("RGBA", drawn.size)
    clean.paste(drawn)
    clean.save(made, "PNG", optimize=True)
    return made.getvalue()


def _wrong(words: str) -> Wrong:
    return Wrong({"logo": [words]})
