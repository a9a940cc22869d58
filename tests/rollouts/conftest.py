"""Scenarios, versions of tiny random weights, and frames to work on."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from django.utils import timezone

from core.media import blob_store
from rollouts import factors, services
from rollouts.images import png_bytes, sprite_sheet
from rollouts.models import MiningCandidate, MiningRun, PolicyVersion, Rollout, StartFrame

CONTENT = {
    "prompt": "go to the red ball",
    "scene_text": "the robot is at the front, a dog lies in the middle, a red ball at the back",
    "factors": {"dog": "lying", "dog_place": "on_path"},
    "tags": ["dog", "path"],
    "severity": 4,
}
SCENE = {"dog": "lying", "dog_place": "on_path", "clutter": 0, "light": "dim"}


def noise_frame(seed: int, size: int = 96) -> np.ndarray:
    """A frame that looks like nothing else: coarse random colour patches."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), np.ones((size // 8, size // 8, 1), np.uint8))


@pytest.fixture
def scenario(admin_person):
    return services.scenario_create(name="Dog on the way", content=CONTENT, created_by=admin_person)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory):
    """Random weights in the shape of the real ones, saved once."""
    from rollouts.dreams.policy import Policy

    directory = tmp_path_factory.mktemp("tiny")
    Policy.tiny(seed=0).save(directory)
    return directory


@pytest.fixture
def tiny_version(db, tiny_directory) -> PolicyVersion:
    version = services.policy_version_create(name="tiny", directory=tiny_directory)
    services.policy_version_activate(version=version, by=None)
    version.refresh_from_db()
    return version


@pytest.fixture
def weights(tmp_path):
    """A directory that holds files as a policy does, for tests that never load it."""

    def make(name: str = "a", world_model: bytes = b"w"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        (directory / "codec.safetensors").write_bytes(b"c")
        (directory / "world_model.safetensors").write_bytes(world_model)
        return directory

    return make


@pytest.fixture
def make_frame(scenario):
    def make(seed: int = 0, state: str = "proposed", by=None, **fields) -> StartFrame:
        frame = services.start_frame_create(
            scenario_version=fields.pop("scenario_version", scenario.current),
            frame=noise_frame(seed),
            source=fields.pop("source", "uploaded"),
            seed=seed,
            **fields,
        )
        if state != "proposed":
            services.start_frames_review(ids=[frame.pk], state=state, by=by, reason="because")
            frame.refresh_from_db()
        return frame

    return make


@pytest.fixture
def version(db, weights) -> PolicyVersion:
    """A version whose files are never loaded."""
    version = services.policy_version_create(name="v1", directory=weights("v1"))
    return services.policy_version_activate(version=version, by=None)


@pytest.fixture
def make_rollout(make_frame, version):
    """A rollout row with made numbers, for pages and lists."""

    def make(frame: StartFrame | None = None, seed: int = 0, accepted: bool = True, **fields) -> Rollout:
        frame = frame or make_frame(seed=1000 + seed, state="approved")
        frames = np.stack([noise_frame(seed * 100 + i) for i in range(13)])
        checks = [{"name": "speed", "value": 0.9, "limit": 0.8, "margin": -0.1, "ok": accepted}]
        values = {
            "prompt": "go to the red ball",
            "policy_version": version,
            "sampler": {"steps": 8},
            "sampler_hash": "0" * 64,
            "sprite": blob_store(png_bytes(sprite_sheet(frames)), "image/png"),
            "latents": blob_store(f"latents {seed}".encode(), "application/octet-stream", "researchers"),
            "frame_count": 13,
            "fps": 3.0,
            "width": 96,
            "height": 96,
            "actions": [[0.1, 0.2, 0, 0, 0]] * 12,
            "path": [[i * 0.1, 0.0] for i in range(13)],
            "path_pixels": [[0.5, i / 13] for i in range(13)],
            "verdict": {"accepted": accepted, "checks": checks},
            "accepted": accepted,
            "value": 0.5,
            "success": 0.7,
        }
        return Rollout.objects.create(start_frame=frame, seed=seed, **{**values, **fields})

    return make


@pytest.fixture
def make_run(version):
    """A search that tried a start frame for each objective and proposes those from 0.35; no weights are needed for it."""

    def make(*objectives: float, finished: bool = True, **fields) -> MiningRun:
        run = MiningRun.objects.create(
            policy_version=version, options={"budget": 8}, summary={"evaluated": 8}, finished_at=timezone.now() if finished else None, **fields
        )
        for seed, objective in enumerate(objectives):
            MiningCandidate.objects.create(
                run=run,
                cell=factors.cell_of(SCENE),
                prompt="go to the red ball",
                world_spec={"world": "household", "prompt": "go to the red ball", "seed": seed, "factors": SCENE},
                objective=objective,
                evidence={"failure": objective, "contact": 0.0, "rejected": 0.0, "dreams": 2},
                image=blob_store(png_bytes(noise_frame(seed)), "image/png"),
                state="proposed" if objective >= 0.35 else "evaluated",
            )
        return run

    return make
