"""Uploaded images: believe nothing, decode within limits, and keep only pixels."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rollouts.services.errors import RolloutsError

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_SIDE: Final = 4096
MIN_SIDE: Final = 32
MAX_ASPECT: Final = 3.0
MAX_FILES: Final = 50

# What a browser says -> what Pillow calls it.
FORMATS: Final = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
EXTENSIONS: Final = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "webp": "WEBP"}
ALLOWED: Final = "Use a PNG, JPEG or WebP picture."

_FOREIGN: Final = [  # (first bytes, what it is): named, so that the person knows what went wrong
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop document"),
]


def refuse(name: str, sentence: str, code: str) -> RolloutsError:
    """The refusal of one file; the name is cut and stripped of control characters, as it goes into a page."""
    shown = re.sub(r"[\x00-\x1f\x7f/\\]", "", name)[-60:] or "the file"
    return RolloutsError(f"“{shown}” was refused: {sentence}", code)


def image_reencode(*, data: bytes, name: str, content_type: str, size: int) -> np.ndarray:
    """Decode an untrusted picture to a square frame, uint8 [size, size, 3].

    1. Size on the wire, 2. signature, which must agree with the extension and the type that the sender claims,
    3. exactly one picture and nothing behind it, 4. dimensions from the header, before any pixel is decoded,
    5. decode everything, 6. drop all metadata, turn upright, centre-crop to a square, and scale.

    Raises RolloutsError with a sentence that says what is wrong with the file and what to do.
    """
    if not data:
        raise refuse(name, "it is empty.", "empty")
    if len(data) > MAX_BYTES:
        raise refuse(name, f"it has {len(data) / 1e6:.1f} MB; {MAX_BYTES // 1024 // 1024} MB are allowed.", "too_large")
    found = _signature(data, name)
    extension = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if EXTENSIONS.get(extension) != found:
        raise refuse(name, f"it is a {found} picture, but its name ends in “.{extension}”. Rename or convert it.", "wrong_type")
    if FORMATS.get(content_type.split(";")[0].strip().lower()) != found:
        raise refuse(name, f"it is a {found} picture, but was sent as “{content_type[:40]}”.", "wrong_type")
    end = {"PNG": _png_end, "JPEG": _jpeg_end, "WEBP": _webp_end}[found](data)
    if end is None:
        raise refuse(name, "it is damaged or cut off.", "damaged")
    if end != len(data):
        raise refuse(name, "something else is hidden behind the picture. Save the picture anew.", "trailing_data")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(data, name, found, size)
    except RolloutsError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refuse(name, f"it is larger than {MAX_SIDE} x {MAX_SIDE} pixels.", "too_many_pixels") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, MemoryError, IndexError, KeyError,
            TypeError, zlib.error, OverflowError) as error:  # fmt: skip
        # Decoders meet crafted bytes with any of these; all mean the same to the sender.
        raise refuse(name, "it is damaged or cut off.", "damaged") from error


def _signature(data: bytes, name: str) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            raise refuse(name, f"it is {what}. {ALLOWED}", "not_an_image")
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head or (head.startswith(b"<?xml") and b"svg" in data[:65536].lower()):
        raise refuse(name, f"it is an SVG document, which can carry programs. {ALLOWED}", "not_an_image")
    if head.startswith((b"<!doctype", b"<html", b"<script", b"<?xml", b"<?php")) or b"<script" in head:
        raise refuse(name, f"it is a document with markup, not a picture. {ALLOWED}", "not_an_image")
    raise refuse(name, f"it is not a picture that we know. {ALLOWED}", "not_an_image")


def _png_end(data: bytes) -> int | None:
    """Offset behind the IEND chunk, walking the chunks; None if they do not add up or a checksum is wrong."""
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            return None
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        if kind == b"IEND":
            return end
        at = end
    return None


def _jpeg_end(data: bytes) -> int | None:
    """Offset behind the end-of-image marker; None if the segments do not lead to one."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            return at + 2
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            return None
        at += 2 + length
        if marker == 0xDA:  # entropy-coded data runs until a marker that is neither stuffing (00) nor a restart
            while True:
                at = data.find(b"\xff", at)
                if at < 0 or at + 1 >= len(data):
                    return None
                if data[at + 1] == 0x00 or 0xD0 <= data[at + 1] <= 0xD7:
                    at += 2
                    continue
                break
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else None


def _webp_end(data: bytes) -> int | None:
    end = 8 + int.from_bytes(data[4:8], "little")
    end += end % 2
    return end if end <= len(data) else None


def _decode(data: bytes, name: str, found: str, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=[found]) as image:
        width, height = image.size
        if width > MAX_SIDE or height > MAX_SIDE:
            raise refuse(name, f"it has {width} x {height} pixels; {MAX_SIDE} x {MAX_SIDE} are allowed.", "too_many_pixels")
        if min(width, height) < MIN_SIDE:
            raise refuse(name, f"it has {width} x {height} pixels; at least {MIN_SIDE} a side are needed.", "too_small")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise refuse(name, "it is too long and narrow to be cut to a square.", "too_narrow")
        if getattr(image, "n_frames", 1) > 1:
            raise refuse(name, "it is an animation; upload one frame.", "animated")
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright.convert("RGBA"))
        elif upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
            raise refuse(name, "it has more than 8 bits a channel. Save it with 8.", "wrong_depth")
        side = min(upright.size)
        left, top = (upright.width - side) // 2, (upright.height - side) // 2
        # Crop and scale before the conversion: it keeps the peak memory at one decoded picture.
        square = upright.resize(
            (size, size), Image.Resampling.LANCZOS if upright.mode in ("RGB", "RGBA", "L", "CMYK") else None,
            box=(left, top, left + side, top + side),
        )  # fmt: skip
        frame = np.asarray(square.convert("RGB")).copy()
    if frame.reshape(-1, 3).std(axis=0).max() < 1.0:
        raise refuse(name, "it is one flat colour: there is nothing to see.", "blank")
    return frame
