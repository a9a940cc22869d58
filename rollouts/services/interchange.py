"""Scenarios as YAML or JSON, out and in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml
from django.db import transaction

from rollouts.models import Scenario
from rollouts.services.errors import RolloutsError
from rollouts.services.scenarios import CONTENT, content_of, scenario_create, scenario_edit

FORMAT = "dreamfork-scenarios/1"
MAX_BYTES = 1024 * 1024
MAX_SCENARIOS = 500


def scenarios_export(*, scenarios: Iterable[Scenario], kind: str) -> str:
    """The current versions as a document of `kind` "yaml" or "json", which `scenarios_import` reads back."""
    document = {
        "format": FORMAT,
        "scenarios": [{"slug": scenario.slug, "name": scenario.name, "state": str(scenario.state), **content_of(scenario.current)} for scenario in scenarios],
    }
    if kind == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a few hundred bytes of nested aliases expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def scenarios_parse(*, data: bytes) -> list[dict[str, Any]]:
    """Read a document; YAML is a superset of JSON, so one reader serves both.

    Raises RolloutsError with a sentence for anything that is not a list of scenarios.
    """
    if len(data) > MAX_BYTES:
        raise RolloutsError("The file is larger than 1 MB.", "too_large")
    try:
        document = yaml.load(data.decode("utf-8"), Loader=_PlainLoader)  # noqa: S506 (a subclass of SafeLoader)
    except UnicodeDecodeError as error:
        raise RolloutsError("The file is not UTF-8 text.", "not_text") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" near line {line + 1}" if line is not None else ""
        raise RolloutsError(f"The file is not valid YAML or JSON{where}.", "not_yaml") from error
    except (RecursionError, ValueError) as error:
        raise RolloutsError("The file is not valid YAML or JSON.", "not_yaml") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RolloutsError(f"The file does not say “format: {FORMAT}” at its top.", "wrong_format")
    entries = document.get("scenarios")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise RolloutsError("The file holds no list of scenarios.", "no_scenarios")
    if len(entries) > MAX_SCENARIOS:
        raise RolloutsError(f"At most {MAX_SCENARIOS} scenarios in one file.", "too_many")
    return entries


@transaction.atomic
def scenarios_import(*, data: bytes, by: Any) -> dict[str, list[Scenario]]:
    """Import all or nothing: unknown slugs become drafts, known ones a new version if their content differs.

    Returns {"created": [...], "changed": [...], "same": [...]}.
    Raises RolloutsError that names the entry that is wrong.
    """
    result: dict[str, list[Scenario]] = {"created": [], "changed": [], "same": []}
    for at, entry in enumerate(scenarios_parse(data=data), start=1):
        unknown = sorted(map(str, set(entry) - {"slug", "name", "state", *CONTENT}))
        try:
            if unknown:
                raise RolloutsError(f"there is no field “{unknown[0]}”.", "unknown_field")
            content = {name: entry[name] for name in CONTENT if name in entry}
            name, slug = entry.get("name", ""), entry.get("slug", "")
            if not isinstance(name, str) or not isinstance(slug, str):
                raise RolloutsError("name and slug must be text.", "wrong_type")
            known = Scenario.objects.filter(slug=slug).first() if slug else None
            if known is None:
                result["created"].append(scenario_create(name=name or slug, content=content, created_by=by, origin=Scenario.Origin.IMPORTED))
                continue
            number = known.current.number
            version = scenario_edit(scenario=known, content=content, by=by, name=name)
            result["changed" if version.number != number else "same"].append(known)
        except RolloutsError as error:
            raise RolloutsError(f"Entry {at}: {error}", error.code) from error
    return result
