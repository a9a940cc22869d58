"""Uploads: honest pictures come in as pixels only, hostile ones not at all."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from core.models import Blob
from rollouts import services
from rollouts.models import StartFrame
from rollouts.services.uploads import image_reencode
from tests.rollouts.hostile import picture, uploads

HOSTILE = list(uploads())


def reencode(data: bytes, name: str = "a.png", content_type: str = "image/png") -> np.ndarray:
    return image_reencode(data=data, name=name, content_type=content_type, size=96)


def test_there_are_thirty_of_them():
    assert len(HOSTILE) == 30


@pytest.mark.parametrize("upload", HOSTILE, ids=[name.encode("ascii", "replace").decode()[-20:] for name, *_ in HOSTILE])
def test_it_refuses_a_hostile_file_with_a_sentence(upload):
    name, content_type, data, word = upload
    tracemalloc.start()
    with pytest.raises(services.RolloutsError) as error:
        reencode(data, name, content_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert word in str(error.value)
    assert str(error.value).endswith(".")
    assert "\x1b" not in str(error.value)
    assert peak < 100 << 20


def test_a_refused_file_leaves_nothing_behind(scenario, admin_person):
    before = Blob.objects.count()
    made, refused = services.start_frame_upload(scenario_version=scenario.current, files=[upload[:3] for upload in HOSTILE], created_by=admin_person)
    assert (made, len(refused)) == ([], 30)
    assert Blob.objects.count() == before
    assert not StartFrame.objects.exists()


@pytest.mark.parametrize(("kind", "name"), [("PNG", "a.png"), ("JPEG", "a.JPG"), ("JPEG", "a.jpeg"), ("WEBP", "a.webp")])
def test_it_takes_honest_pictures(kind, name):
    frame = reencode(picture(kind), name, f"image/{kind.lower()}")
    assert frame.shape == (96, 96, 3)
    assert frame.dtype == np.uint8


def test_it_keeps_the_middle_square():
    image = Image.new("RGB", (192, 96), "red")
    image.paste((0, 0, 255), (72, 0, 120, 96))
    out = io.BytesIO()
    image.save(out, "PNG")
    frame = reencode(out.getvalue())
    assert tuple(frame[48, 48]) == (0, 0, 255)
    assert tuple(frame[48, 4]) == (255, 0, 0)


def test_it_turns_a_photo_upright_and_drops_its_metadata(scenario, admin_person):
    image = Image.new("RGB", (128, 128), "blue")
    image.paste((255, 0, 0), (0, 0, 128, 64))  # red on top
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was held upside down
    exif[0x010E] = "secret place"
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, quality=95)
    (frame,), _ = services.start_frame_upload(scenario_version=scenario.current, files=[("a.jpg", "image/jpeg", out.getvalue())], created_by=admin_person)
    from core.media import blob_bytes

    stored = blob_bytes(frame.image_id)
    assert b"secret" not in stored
    pixels = np.asarray(Image.open(io.BytesIO(stored)))
    assert pixels[8, 32, 2] > 200
    assert pixels[56, 32, 0] > 200


def test_transparency_becomes_white():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 20, 64))
    out = io.BytesIO()
    image.save(out, "PNG")
    frame = reencode(out.getvalue())
    assert tuple(frame[48, 80]) == (255, 255, 255)


def test_a_flat_colour_is_refused():
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(out, "PNG")
    with pytest.raises(services.RolloutsError, match="flat colour"):
        reencode(out.getvalue())


def test_too_many_files_are_refused(scenario, admin_person):
    files = [("a.png", "image/png", b"")] * 51
    with pytest.raises(services.RolloutsError, match="at most 50"):
        services.start_frame_upload(scenario_version=scenario.current, files=files, created_by=admin_person)
