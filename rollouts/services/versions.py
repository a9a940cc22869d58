"""Policy versions: register, lay out on disk, activate.

A version is the set of files of one policy directory. Each file is a blob named by its sha256; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from core import audit
from core.jobs import submit
from core.media import blob_bytes, blob_path, blob_store
from rollouts.models import PolicyVersion
from rollouts.services.errors import RolloutsError

if TYPE_CHECKING:
    from rollouts.dreams.policy import Policy

BASE_DIRECTORY = Path(__file__).resolve().parent.parent / "weights" / "base"
# What is mined when a version is promoted, or daily: some minutes on two cores, with low priority.
ROUTINE = {"budget": 64, "dreams": 4}
DEFAULT_FRAME_SIZE = 64
SUFFIXES = {".safetensors": "application/octet-stream", ".json": "application/json"}


def policy_version_create(
    *,
    name: str,
    directory: Path | str,
    parent: PolicyVersion | None = None,
    state: str = PolicyVersion.State.CANDIDATE,
    lineage: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    created_by: Any = None,
) -> PolicyVersion:
    """Register the policy in `directory` (config.json and *.safetensors) as a version.

    Components are named by the file's stem. Files of a parent that did not change share its blobs, as their
    sha256 is the same.

    Raises RolloutsError if the name is taken, or a file is missing.
    """
    directory = Path(directory)
    files = sorted(path for path in directory.glob("*") if path.suffix in SUFFIXES)
    stems = {path.stem for path in files}
    for needed in ("config", "codec", "world_model"):
        if needed not in stems:
            raise RolloutsError(f"{directory.name} holds no policy: the file for “{needed}” is missing.", "no_policy")
    if PolicyVersion.objects.filter(name=name).exists():
        raise RolloutsError(f"There already is a policy version called “{name}”.", "name_taken")
    components = {component_name(path): blob_store(path, SUFFIXES[path.suffix], audience="researchers").sha256 for path in files}
    return PolicyVersion.objects.create(
        name=name,
        parent=parent,
        state=state,
        components=components,
        lineage=lineage or {},
        metrics=metrics or {},
        created_by=created_by,
    )


def component_name(path: Path) -> str:
    """What a file is called among the components: "world_model" for world_model.safetensors, "config" for config.json;
    any other JSON keeps its ending, so that a name leads back to one file.
    """
    return path.stem if path.suffix == ".safetensors" or path.name == "config.json" else path.name


def component_file(name: str) -> str:
    """The inverse of `component_name`."""
    return name if name.endswith(".json") else "config.json" if name == "config" else f"{name}.safetensors"


def components_hash(version: PolicyVersion) -> str:
    """Name of a set of weights: the sha256 of its components' canonical JSON."""
    return hashlib.sha256(json.dumps(version.components, sort_keys=True).encode()).hexdigest()


def policy_version_materialize(version: PolicyVersion) -> Path:
    """Lay a version's files out in one directory, under their names, and return it.

    The directory is cached by the hash of the components and appears whole or not at all (rename), so several
    workers may ask at once.
    """
    root = Path(settings.CACHE_DIR) / "policies"
    target = root / components_hash(version)
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=root, prefix=".making-"))
    try:
        for name, sha256 in version.components.items():
            source, copy = blob_path(sha256), scratch / component_file(name)
            try:
                os.link(source, copy)
            except OSError:  # another file system
                shutil.copyfile(source, copy)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise somebody else was faster, with the same content
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def frame_size(version: PolicyVersion | None = None) -> int:
    """Side in pixels of the frames that a version (else the active one) dreams on, from its configuration."""
    version = version or PolicyVersion.objects.filter(is_active=True).first()
    if version is None or "config" not in version.components:
        return DEFAULT_FRAME_SIZE
    config = json.loads(blob_bytes(version.components["config"]))
    return int(config.get("codec", {}).get("size", DEFAULT_FRAME_SIZE))


_loaded: dict[str, Policy] = {}


def policy_load(version: PolicyVersion) -> Policy:
    """The version's policy in memory. Keeps the two last used ones of this process, as loading takes seconds."""
    from rollouts.dreams.policy import Policy

    key = components_hash(version)
    policy = _loaded.pop(key, None) or Policy.load(policy_version_materialize(version))
    _loaded[key] = policy  # at the end: the most recently used
    while len(_loaded) > 2:
        _loaded.pop(next(iter(_loaded)))
    return policy


@transaction.atomic
def policy_version_set_state(*, version: PolicyVersion, state: str, by: Any, reason: str = "") -> PolicyVersion:
    """Move a version through its life.

    Raises RolloutsError for an unknown state, and for taking the active version out of service.
    """
    if state not in PolicyVersion.State.values:
        raise RolloutsError(f"“{state}” is not a state of a policy version.", "unknown_state")
    row = PolicyVersion.objects.select_for_update().get(pk=version.pk)
    if row.is_active and state != PolicyVersion.State.PROMOTED:
        raise RolloutsError(f"“{row.name}” is the active version: activate another one first.", "version_active")
    before, row.state = row.state, state
    row.save(update_fields=["state"])
    audit.record(
        actor=by,
        action="policy_version.state",
        target=row,
        before={"state": before},
        after={"state": state},
        reason=reason,
    )
    version.state = row.state
    return row


@transaction.atomic
def policy_version_activate(*, version: PolicyVersion, by: Any, reason: str = "") -> PolicyVersion:
    """Make a version the one that dreams by default; a candidate is promoted by it. Also the way to roll back.

    Raises RolloutsError for a rejected or retired version.
    """
    # Lock every row that could be active, in one order, so that two activations queue up instead of deadlocking.
    rows = {row.pk: row for row in PolicyVersion.objects.select_for_update().order_by("pk")}
    row = rows[version.pk]
    if row.state in (PolicyVersion.State.REJECTED, PolicyVersion.State.RETIRED):
        raise RolloutsError(f"“{row.name}” is {row.get_state_display().lower()} and cannot be activated.", "not_usable")
    previous = next((other for other in rows.values() if other.is_active), None)
    if previous == row:
        return row
    if previous:
        previous.is_active = False
        previous.save(update_fields=["is_active"])
    row.is_active, row.state = True, PolicyVersion.State.PROMOTED
    row.save(update_fields=["is_active", "state"])
    audit.record(
        actor=by,
        action="policy_version.activate",
        target=row,
        before={"active": previous.name if previous else None},
        after={"active": row.name},
        reason=reason,
    )
    version.is_active, version.state = True, row.state
    if previous:
        # What the old policy was weak at is not what the new one is weak at: look again, when there is time.
        submit(
            kind="rollouts.mine",
            params={"policy_version": row.pk, "trigger": "promotion", **ROUTINE},
            created_by=by,
            priority=-10,
        )
    return row


@transaction.atomic
def policy_version_record_metrics(*, version: PolicyVersion, metrics: dict[str, Any]) -> PolicyVersion:
    """Merge new figures into a version's metrics (top-level keys replace)."""
    row = PolicyVersion.objects.select_for_update().get(pk=version.pk)
    row.metrics = {**row.metrics, **metrics}
    row.save(update_fields=["metrics"])
    version.metrics = row.metrics
    return row


@transaction.atomic
def base_version_ensure(*, directory: Path | str | None = None) -> PolicyVersion:
    """Register the shipped weights, and activate them if no version is active. Idempotent.

    Weights that changed with a release become a version of their own ("base-1a2b3c4d"), which replaces the active
    version only if that was an older base: what people trained stays active.

    Raises RolloutsError if the weights are not there.
    """
    directory = Path(directory or BASE_DIRECTORY)
    files = sorted(path for path in directory.glob("*") if path.suffix in SUFFIXES)
    if not any(path.stem == "world_model" for path in files):
        raise RolloutsError(
            f"The base weights are missing from {directory.parent.name}/{directory.name}. "
            "Run `git lfs pull` or `git checkout`, or train them with `manage.py pretrain`.",
            "no_base_weights",
        )
    components = {component_name(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    version = PolicyVersion.objects.filter(components=components).order_by("pk").first()
    if version is None:
        name = "base"
        if PolicyVersion.objects.filter(name=name).exists():
            name = f"base-{hashlib.sha256(json.dumps(components, sort_keys=True).encode()).hexdigest()[:8]}"
        version = policy_version_create(
            name=name,
            directory=directory,
            state=PolicyVersion.State.PROMOTED,
            lineage={"source": "shipped with the release", "card": _card_of(directory)},
        )
    active = PolicyVersion.objects.filter(is_active=True).first()
    if active is None or (active.pk < version.pk and active.lineage.get("source") == "shipped with the release"):
        policy_version_activate(version=version, by=None, reason="shipped weights")
        version.refresh_from_db()
    return version


def _card_of(directory: Path) -> str:
    card = directory / "README.md"
    return card.read_text(encoding="utf-8")[:4000] if card.exists() else ""
