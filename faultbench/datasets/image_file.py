"""Reading of an image file of unknown origin, as viewers show it. Only regular files of known formats are read.

Without limits, Pillow opens every format that it recognises: it passes PostScript to Ghostscript, waits for a named
pipe, and unpacks a small file to any number of pixels.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from faultbench.system.errors import FaultbenchError
from faultbench.system.files.regular_files import UnsoundFileError, opened_regular, require_regular
from faultbench.system.printable import printable, shortened

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are opened, by Pillow's names and whatever the ending of the file's name."""

MAX_PIXELS = 10**8
"""Most pixels of a stored image. A file of one kilobyte may hold a thousand million pixels of one colour."""

MAX_REASON_LENGTH = 200

EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation in EXIF (CIPA DC-008, tag 0x0112) → transposition that makes the image upright; 1 is upright."""


def read_square(path: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image, [channels, size, size], cropped to a square at its centre, and scaled.

    It is rotated as its EXIF says. Transparency is dropped, and the first image of an animation is used.
    FaultbenchError, with the file's name, if the file has another format, is cut short, or has more than 8 bits.
    """
    with _opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged EXIF and about sizes below MAX_PIXELS
        try:
            with Image.open(file, formats=FORMATS) as image:
                _refuse_unfit(image, path)
                image.load()
                square = ImageOps.fit(
                    _upright(image).convert("RGB" if channels == 3 else "L"), (size, size), Image.Resampling.BILINEAR
                )
        except FaultbenchError:
            raise
        except UnidentifiedImageError as error:
            raise _decoding_error(path, f"none of {', '.join(FORMATS)}") from error
        except Exception as error:  # decoders raise any exception on damaged bytes
            raise _decoding_error(path, " ".join(str(error).split()) or type(error).__name__) from error
    return np.asarray(square).reshape(size, size, channels).transpose(2, 0, 1)


def image_status(path: Path) -> os.stat_result:
    """Return the status of a regular file, with links followed. FaultbenchError, with its name, for anything else."""
    try:
        status = path.stat()
        require_regular(status)
    except (OSError, UnsoundFileError) as error:
        raise _opening_error(path, error) from error
    return status


def printable_path(path: Path) -> str:
    """Return a path for a message: in one line, without control sequences of a terminal."""
    return printable(str(path))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(opened_regular(path))
        except (OSError, UnsoundFileError) as error:
            raise _opening_error(path, error) from error
        yield file


def _opening_error(path: Path, error: OSError | UnsoundFileError) -> FaultbenchError:
    if isinstance(error, UnsoundFileError):
        return FaultbenchError(f"{printable_path(path)}: {error}, where an image should be; take it out of the folder")
    return FaultbenchError(f"{printable_path(path)}: cannot be read: {error.strerror or error}")


def _refuse_unfit(image: Image.Image, path: Path) -> None:
    if image.mode not in EIGHT_BIT_MODES:
        raise FaultbenchError(
            f"{printable_path(path)}: has pixels of mode {image.mode}; give images of 8 bits per channel"
        )
    if image.width * image.height > MAX_PIXELS:
        raise FaultbenchError(
            f"{printable_path(path)}: {image.width:,}×{image.height:,} pixels; give images of at most {MAX_PIXELS:,}"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and an image without any is upright
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _decoding_error(path: Path, reason: str) -> FaultbenchError:
    reason = shortened(reason, MAX_REASON_LENGTH)
    return FaultbenchError(
        f"{printable_path(path)}: not an image that Pillow can read: {reason}; take it out of the folder"
    )
