"""Thirty hostile uploads, made on the spot: each is (name, claimed type, bytes, a word that the refusal must hold)."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

Upload = tuple[str, str, bytes, str]


def picture(kind: str = "PNG", size: tuple[int, int] = (128, 128), seed: int = 0, **options) -> bytes:
    """An honest picture of noise patches."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), "RGB")
    out = io.BytesIO()
    small.resize(size, Image.Resampling.NEAREST).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that says whatever one likes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """`count` zero bytes, deflated: about a thousandth of that."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(1 << 20, count - at))) for at in range(0, count, 1 << 20)]
    return b"".join(parts) + packer.flush()


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (64, 64), (i * 80, 0, 255 - i * 80)) for i in range(3)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("index.html", "<script>alert(1)</script>")
    return out.getvalue()


def broken_crc() -> bytes:
    data = bytearray(picture())
    at = data.index(b"IDAT")
    data[at + 8] ^= 0xFF
    return bytes(data)


def sixteen_bit() -> bytes:
    out = io.BytesIO()
    Image.fromarray((np.arange(128 * 128, dtype=np.uint16) * 4).reshape(128, 128)).save(out, "PNG")
    return out.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9" height="9"/></svg>'
HTML = b"<!doctype html><script>fetch('/scenarios/')</script>"


def uploads() -> Iterator[Upload]:
    """All thirty."""
    png_type, jpeg_type, webp_type = "image/png", "image/jpeg", "image/webp"
    good, photo = picture(), picture("JPEG")
    # Not pictures, or pictures that can run programs.
    yield "a.svg", "image/svg+xml", SVG, "SVG"
    yield "svg-as.png", png_type, SVG, "SVG"
    yield "xml-svg.png", png_type, b'<?xml version="1.0"?>\n' + b" " * 3000 + SVG, "SVG"
    yield "page.png", png_type, HTML, "markup"
    yield "bom-page.jpg", jpeg_type, b"\xef\xbb\xbf  \n" + HTML, "markup"
    yield "shell.php.png", png_type, b"<?php system($_GET['c']); ?>", "markup"
    yield "document.png", png_type, b"%PDF-1.7\n1 0 obj", "PDF"
    yield "archive.webp", webp_type, archive(), "ZIP"
    yield "program.jpg", jpeg_type, b"MZ" + bytes(200), "program"
    yield "elf.jpg", jpeg_type, b"\x7fELF" + bytes(200), "program"
    yield "weights.png", png_type, pickle.dumps({"a": 1}), "pickle"
    yield "eps.png", png_type, b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"
    yield "noise.png", png_type, bytes(range(256)) * 8, "not a picture that we know"
    yield "moving.gif", "image/gif", animation("GIF"), "GIF"
    yield "scan.tiff", "image/tiff", picture("TIFF"), "TIFF"
    # Lies about the type.
    yield "photo.png", png_type, photo, "JPEG"
    yield "honest-name.jpg", png_type, photo, "sent as"
    yield "no-extension", png_type, good, "name ends"
    # Bombs.
    yield "bomb.png", png_type, png(30_000, 30_000, zeros(30_000 * 90_001)[:100_000]), "pixels"
    yield "wide.png", png_type, png(60_000, 40, zeros(40 * 180_001)), "pixels"
    yield "four-billion.png", png_type, png(2**31 - 1, 2**31 - 1, b"x"), "pixels"
    text = chunk(b"zTXt", b"Comment\x00\x00" + zeros(80 << 20))
    yield "text-bomb.png", png_type, png(64, 64, zlib.compress(bytes(64 * 193)), text), "damaged"
    yield "huge.png", png_type, good[:-12] + bytes(9 << 20), "MB"
    # Damaged, cut, or with something behind.
    yield "empty.png", png_type, b"", "empty"
    yield "cut.png", png_type, good[: len(good) // 2], "damaged"
    yield "cut.jpg", jpeg_type, photo[: len(photo) // 2], "damaged"
    yield "crc.png", png_type, broken_crc(), "damaged"
    yield "polyglot.png", png_type, good + archive(), "hidden"
    yield "two.webp", webp_type, animation("WEBP"), "animation"
    yield "\x1b]0;pwn\x07../../etc/cron.d/x.png", png_type, sixteen_bit(), "8 bits"
