"""Reading policy versions: their tree, their facts, their figures over time."""

from __future__ import annotations

from typing import Any

from core.models import Blob
from rollouts.models import PolicyVersion, Rollout
from training.models import Evaluation


def lineage_tree() -> list[dict[str, Any]]:
    """Versions depth first, children under their parents: [{"version", "depth", "last": is it its parent's last child}]."""
    versions = list(PolicyVersion.objects.select_related("parent", "created_by", "made_by_round").order_by("created_at", "id"))
    children: dict[int | None, list[PolicyVersion]] = {}
    for version in versions:
        children.setdefault(version.parent_id, []).append(version)
    rows: list[dict[str, Any]] = []

    def walk(parent: int | None, depth: int) -> None:
        siblings = children.get(parent, [])
        for version in siblings:
            rows.append({"version": version, "depth": min(depth, 8), "last": version is siblings[-1], **figures(version)})
            walk(version.pk, depth + 1)

    walk(None, 0)
    return rows


def figures(version: PolicyVersion) -> dict[str, Any]:
    """The figures of a version's newest evaluation, for lists."""
    found = version.metrics.get("evaluation") or {}
    adversarial, ordinary = found.get("adversarial") or {}, found.get("ordinary") or {}
    return {"contact": adversarial.get("contact"), "clean": adversarial.get("clean"), "ordinary": ordinary.get("success")}


def version_facts(version: PolicyVersion) -> dict[str, Any]:
    """Everything a version's page shows besides its evaluations."""
    blobs = {blob.sha256: blob for blob in Blob.objects.filter(pk__in=version.components.values())}
    components = [
        {
            "name": name,
            "file": f"{name}.json" if name == "config" else f"{name}.safetensors",
            "sha256": sha256,
            "blob": blobs.get(sha256),
            "same_as_parent": bool(version.parent and version.parent.components.get(name) == sha256),
        }
        for name, sha256 in sorted(version.components.items())
    ]
    return {
        "components": components,
        "children": list(version.children.order_by("created_at")),
        "rollouts": Rollout.objects.filter(policy_version=version).count(),
        **figures(version),
    }


def versions_over_time() -> dict[str, Any]:
    """Contact and success of the newest complete evaluation of every version, in the order in which they were made."""
    names: list[str] = []
    lines: dict[str, list[dict[str, float] | None]] = {"contact, adversarial": [], "clean success, adversarial": [], "success, ordinary": []}
    for version in PolicyVersion.objects.order_by("created_at", "id"):
        row = Evaluation.objects.filter(policy_version=version, state=Evaluation.State.DONE).order_by("-id").first()
        if row is None:
            continue
        names.append(version.name)
        adversarial, ordinary = row.summary.get("adversarial") or {}, row.summary.get("ordinary") or {}
        for name, part in zip(lines, (adversarial.get("contact"), adversarial.get("clean"), ordinary.get("success")), strict=True):
            lines[name].append(part)
    return {
        "kind": "points",
        "title": "Versions in the world",
        "x": {"label": "version", "values": list(range(1, len(names) + 1)), "names": names},
        "y": {"label": "share of episodes", "min": 0, "max": 1},
        "series": [
            {
                "name": name,
                "values": [part["value"] if part else None for part in parts],
                "low": [part["low"] if part else None for part in parts],
                "high": [part["high"] if part else None for part in parts],
            }
            for name, parts in lines.items()
        ],
    }
