"""Scenarios: create, edit into a new version, activate, retire, duplicate, vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from core import audit
from rollouts import factors as scene_factors
from rollouts.models import Scenario, ScenarioVersion
from rollouts.services.errors import RolloutsError

# What a version consists of; the order is that of forms, exports and differences.
CONTENT = ("prompt", "scene_text", "factors", "tags", "severity", "behaviours", "notes")
LIMITS = {"prompt": 300, "scene_text": 1000, "behaviours": 2000, "notes": 4000}
MAX_TAGS = 12
MAX_AT_ONCE = 200
RESERVED_SLUGS = {"new", "export", "import", "set-state"}  # pages beside /scenarios/<slug>/
TRANSITIONS = {
    Scenario.State.DRAFT: {Scenario.State.ACTIVE, Scenario.State.RETIRED},
    Scenario.State.ACTIVE: {Scenario.State.RETIRED, Scenario.State.DRAFT},
    Scenario.State.RETIRED: {Scenario.State.DRAFT},
}


def content_clean(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a version, checked and normalised; missing fields get their defaults.

    Raises RolloutsError with a sentence that names the field.
    """
    unknown = sorted(set(content) - set(CONTENT))
    if unknown:
        raise RolloutsError(f"A scenario has no field “{unknown[0]}”.", "unknown_field")
    clean: dict[str, Any] = {}
    for name, limit in LIMITS.items():
        value = content.get(name) or ""
        if not isinstance(value, str):
            raise RolloutsError(f"“{name}” must be text.", "wrong_type")
        if "\x00" in value:
            raise RolloutsError(f"“{name}” holds a character that is not text.", "wrong_type")
        if len(value) > limit:
            raise RolloutsError(f"“{name}” has {len(value)} characters; {limit} are allowed.", "too_long")
        clean[name] = value.strip()
    if not clean["prompt"]:
        raise RolloutsError("Say what the robot is told to do: “prompt” is empty.", "no_prompt")
    given = content.get("factors") or {}
    if not isinstance(given, dict):
        raise RolloutsError("“factors” must map names to values.", "wrong_type")
    try:
        clean["factors"] = scene_factors.validate(given)
    except (ValueError, TypeError) as error:
        raise RolloutsError(f"The factors do not fit the world: {error}.", "bad_factor") from error
    tags = content.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RolloutsError("“tags” must be a list of words.", "wrong_type")
    clean["tags"] = list(dict.fromkeys(slugify(tag)[:40] for tag in tags if slugify(tag)))
    if len(clean["tags"]) > MAX_TAGS:
        raise RolloutsError(f"At most {MAX_TAGS} tags.", "too_many_tags")
    severity = content.get("severity", 3)
    if isinstance(severity, bool) or not isinstance(severity, int) or not 1 <= severity <= 5:
        raise RolloutsError("“severity” is a whole number from 1 to 5.", "bad_severity")
    clean["severity"] = severity
    return {name: clean[name] for name in CONTENT}


def content_of(version: ScenarioVersion) -> dict[str, Any]:
    """A version's content as `content_clean` takes it."""
    return {name: getattr(version, name) for name in CONTENT}


def _slug_for(name: str) -> str:
    base = slugify(name)[:70].strip("-") or "scenario"
    taken = RESERVED_SLUGS | set(Scenario.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    if base not in taken:
        return base
    return next(f"{base}-{i}" for i in range(2, len(taken) + 3) if f"{base}-{i}" not in taken)


def scenario_create(
    *,
    name: str,
    content: dict[str, Any],
    created_by: Any,
    origin: str = Scenario.Origin.AUTHORED,
    derived_from: Scenario | None = None,
    slug: str = "",
) -> Scenario:
    """A draft with its first version. The slug is made from the name and kept for life.

    Raises RolloutsError for bad content, an empty or long name, or a slug that is taken.
    """
    name = name.strip()
    if not 1 <= len(name) <= 120 or "\x00" in name:
        raise RolloutsError("Give the scenario a name of 1 to 120 characters.", "bad_name")
    clean = content_clean(content)
    for attempt in range(3):
        try:
            with transaction.atomic():
                scenario = Scenario.objects.create(slug=slug or _slug_for(name), name=name, origin=origin, derived_from=derived_from, created_by=created_by)
                ScenarioVersion.objects.create(scenario=scenario, number=1, created_by=created_by, **clean)
                audit.record(actor=created_by, action="scenario.create", target=scenario, after={"name": name, **clean})
                return scenario
        except IntegrityError as error:  # somebody took the slug between the look and the write
            if slug:
                raise RolloutsError(f"There already is a scenario “{slug}”.", "slug_taken") from error
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


@transaction.atomic
def scenario_edit(*, scenario: Scenario, content: dict[str, Any], by: Any, name: str = "", base_number: int | None = None) -> ScenarioVersion:
    """Edit a scenario: other content becomes a new version; start frames and rollouts keep the version they were made for.

    base_number: the version that the editor saw. Raises RolloutsError (code "edited_meanwhile") if somebody
    else wrote a newer one since, and for a retired scenario.
    """
    row = Scenario.objects.select_for_update().get(pk=scenario.pk)
    if row.state == Scenario.State.RETIRED:
        raise RolloutsError("A retired scenario is not edited: take it back to draft first.", "retired")
    current = row.current
    if base_number is not None and base_number != current.number:
        raise RolloutsError(
            f"Somebody wrote version {current.number} while you edited version {base_number}. Look at theirs, then save again.",
            "edited_meanwhile",
        )
    before = content_of(current)
    clean = content_clean({**before, **content})
    name = name.strip() or row.name
    changed = {key: value for key, value in clean.items() if before[key] != value}
    version = current
    if changed:
        version = ScenarioVersion.objects.create(scenario=row, number=current.number + 1, created_by=by, **clean)
    if changed or name != row.name:
        audit.record(
            actor=by,
            action="scenario.edit",
            target=row,
            before={"name": row.name, "version": current.number, **{key: before[key] for key in changed}},
            after={"name": name, "version": version.number, **changed},
        )
        row.name = name[:120]
        row.save(update_fields=["name", "updated_at"])
    scenario.name = row.name
    return version


@transaction.atomic
def scenario_set_state(*, scenario: Scenario, state: str, by: Any, reason: str = "") -> Scenario:
    """Draft -> active -> retired, and back to draft. Nothing is deleted.

    Raises RolloutsError for a step that does not exist.
    """
    row = Scenario.objects.select_for_update().get(pk=scenario.pk)
    if state == row.state:
        return row
    if state not in TRANSITIONS[Scenario.State(row.state)]:
        raise RolloutsError(f"A {row.get_state_display().lower()} scenario cannot become “{state}”.", "no_such_step")
    before, row.state = row.state, state
    row.save(update_fields=["state", "updated_at"])
    audit.record(
        actor=by,
        action=f"scenario.{'retire' if state == 'retired' else 'activate' if state == 'active' else 'reopen'}",
        target=row,
        before={"state": before},
        after={"state": state},
        reason=reason,
    )
    scenario.state = row.state
    return row


@transaction.atomic
def scenarios_set_state(*, slugs: Sequence[str], state: str, by: Any, reason: str = "") -> int:
    """The same step for many scenarios: all of them or, if one cannot take it, none. Returns how many changed.

    Raises RolloutsError for none, for more than `MAX_AT_ONCE`, for one that does not exist, or for a step that does not exist.
    """
    wanted = sorted(set(slugs))
    if not 1 <= len(wanted) <= MAX_AT_ONCE:
        raise RolloutsError(f"Select 1 to {MAX_AT_ONCE} scenarios.", "count_out_of_range")
    rows = list(Scenario.objects.select_for_update().filter(slug__in=wanted).order_by("pk"))
    if len(rows) != len(wanted):
        raise RolloutsError("One of these scenarios does not exist.", "no_scenario")
    for row in rows:
        if state != row.state and state not in TRANSITIONS[Scenario.State(row.state)]:
            raise RolloutsError(f"“{row.name}” is {row.get_state_display().lower()} and cannot take this step. Nothing was changed.", "no_such_step")
    changing = [row for row in rows if row.state != state]
    for row in changing:
        scenario_set_state(scenario=row, state=state, by=by, reason=reason)
    return len(changing)


def scenario_duplicate(*, scenario: Scenario, by: Any, name: str = "") -> Scenario:
    """A draft with the content of the scenario's current version."""
    return scenario_create(
        name=name or f"{scenario.name} (copy)"[:120],
        content=content_of(scenario.current),
        created_by=by,
        origin=Scenario.Origin.DUPLICATED,
        derived_from=scenario,
    )


@transaction.atomic
def scenario_vary(*, scenario: Scenario, axes: dict[str, list[Any]], by: Any, rewrite_text: bool = True) -> list[Scenario]:
    """One draft for every combination of the axes' values over the scenario's factors; the original's own is left out.

    rewrite_text: describe each scene anew from its factors, since the original's words would contradict them.

    Raises RolloutsError if no axis is given, or the grid is too large or does not fit the world.
    """
    axes = {name: values for name, values in axes.items() if values}
    if not axes:
        raise RolloutsError("Choose at least one factor and the values to try.", "no_axis")
    version = scenario.current
    try:
        scenes = scene_factors.grid(version.factors, axes)
    except ValueError as error:
        raise RolloutsError(f"The grid does not work: {error}.", "bad_grid") from error
    made = []
    for scene in scenes:
        if scene == version.factors:
            continue
        content = {**content_of(version), "factors": scene}
        if rewrite_text:
            content["scene_text"] = scene_factors.describe(scene, version.prompt)
        words = ", ".join(scene_factors.phrase(name, scene[name]) for name in axes if name in scene)
        made.append(
            scenario_create(
                name=f"{scenario.name}: {words}"[:120],
                content=content,
                created_by=by,
                origin=Scenario.Origin.VARIED,
                derived_from=scenario,
            )
        )
    if not made:
        raise RolloutsError("Every combination equals the scenario itself: choose other values.", "nothing_new")
    return made
