"""What pages send: typed, limited, and said plainly when wrong. The rules themselves are in the services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from rollouts import factors as scene_factors
from rollouts.models import PolicyVersion, ScenarioVersion
from rollouts.selectors import policy_versions_usable
from rollouts.services.errors import RolloutsError
from rollouts.services.frames import MAX_FRAMES
from rollouts.services.mining import MAX_BUDGET, MAX_DREAMS, MIN_BUDGET, MIN_DREAMS, START, TASKS
from rollouts.services.rollouts import MAX_ROLLOUTS
from rollouts.services.scenarios import content_clean, content_of

MAX_SEED = 2**31 - 1


class ScenarioForm(forms.Form):
    """One wording of a scenario. Factors are fields named `factor_<name>`; empty means "drawn from the seed"."""

    name = forms.CharField(max_length=120, help_text="Short and telling: “Dog asleep on the way to the ball”.")
    prompt = forms.CharField(max_length=300, label="Robot prompt", help_text="What the robot is told: “go to the red ball”.")
    scene_text = forms.CharField(
        max_length=1000,
        required=False,
        label="Scene in words",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Start frames are generated from these words. Left empty, they are written from the factors.",
    )
    severity = forms.TypedChoiceField(
        coerce=int,
        initial=3,
        choices=[(1, "1: a nuisance"), (2, "2"), (3, "3: something breaks"), (4, "4"), (5, "5: somebody gets hurt")],
    )
    tags = forms.CharField(max_length=500, required=False, help_text="Separated by commas.")
    behaviours = forms.CharField(
        max_length=2000,
        required=False,
        label="Behaviours to watch",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What a good robot does here, and what must not happen.",
    )
    notes = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3}))
    base_number = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, version: ScenarioVersion | None = None, **kwargs: Any) -> None:
        if version is not None:
            content = content_of(version)
            kwargs["initial"] = {
                **content,
                "name": version.scenario.name,
                "tags": ", ".join(content["tags"]),
                "base_number": version.number,
                **{f"factor_{name}": value for name, value in content["factors"].items()},
                **kwargs.get("initial", {}),
            }
        super().__init__(*args, **kwargs)
        for name, (label, values) in scene_factors.CHOICES.items():
            self.fields[f"factor_{name}"] = forms.TypedChoiceField(
                label=label,
                required=False,
                coerce=int if isinstance(values[0], int) else str,
                empty_value=None,
                choices=[("", "any"), *((value, scene_factors.word(value)) for value in values)],
            )

    @property
    def factor_fields(self) -> list[forms.BoundField]:
        return [self[f"factor_{name}"] for name in scene_factors.CHOICES]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        given = {name: data.get(f"factor_{name}") for name in scene_factors.CHOICES}
        content = {
            "prompt": data.get("prompt", ""),
            "scene_text": data.get("scene_text", ""),
            "severity": data.get("severity") or 3,
            "tags": [tag for tag in data.get("tags", "").split(",") if tag.strip()],
            "behaviours": data.get("behaviours", ""),
            "notes": data.get("notes", ""),
            "factors": {name: value for name, value in given.items() if value is not None},
        }
        if not self.errors:
            if not content["scene_text"].strip():
                content["scene_text"] = scene_factors.describe(content["factors"], content["prompt"])
            try:
                data["content"] = content_clean(content)
            except RolloutsError as error:
                self.add_error(None, str(error))
        return data


class VaryForm(forms.Form):
    """Axes of a grid: for each factor the values to try."""

    rewrite_text = forms.BooleanField(required=False, initial=True, label="Describe each scene anew from its factors")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (label, values) in scene_factors.CHOICES.items():
            self.fields[f"axis_{name}"] = forms.TypedMultipleChoiceField(
                label=label,
                required=False,
                coerce=int if isinstance(values[0], int) else str,
                choices=[(value, scene_factors.word(value)) for value in values],
                widget=forms.CheckboxSelectMultiple,
            )

    @property
    def axis_fields(self) -> list[forms.BoundField]:
        return [self[f"axis_{name}"] for name in scene_factors.CHOICES]

    def axes(self) -> dict[str, list[Any]]:
        return {name: self.cleaned_data[f"axis_{name}"] for name in scene_factors.CHOICES}


def version_label(version: PolicyVersion) -> str:
    return f"{version.name} (active)" if version.is_active else version.name


class VersionField(forms.ModelChoiceField):
    """A version that may dream; the active one is preselected."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(PolicyVersion.objects.none(), empty_label=None, label="Policy version", **kwargs)

    def label_from_instance(self, obj: Any) -> str:
        return version_label(obj)


class VersionsField(forms.ModelMultipleChoiceField):
    """One or more versions that may dream."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(PolicyVersion.objects.none(), label="Policy versions", widget=forms.CheckboxSelectMultiple, **kwargs)

    def label_from_instance(self, obj: Any) -> str:
        return version_label(obj)


class _WithVersion(forms.Form):
    """A form with a `policy_version`. A page that shows several of them asks for the versions once and gives each the same."""

    def __init__(self, *args: Any, versions: Sequence[PolicyVersion] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["policy_version"]
        assert isinstance(field, VersionField | VersionsField)
        field.queryset = policy_versions_usable()
        if versions is not None:
            field.choices = [(version.pk, version_label(version)) for version in versions]
            first = versions[0] if versions else None
        else:
            first = field.queryset.first()
        field.initial = [first] if first and isinstance(field, VersionsField) else first


class ImagineForm(_WithVersion):
    """Generate start frames from words."""

    scene_text = forms.CharField(max_length=1000, required=False, label="Scene in words", widget=forms.Textarea(attrs={"rows": 3}))
    n = forms.IntegerField(min_value=1, max_value=MAX_FRAMES, initial=24, label="How many")
    seed = forms.IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        required=False,
        label="First seed",
        help_text="The same words and seed give the same frame. Empty: after the last one used.",
    )
    policy_version = VersionField()


class LikeForm(_WithVersion):
    """Variations of one generated frame."""

    scene_text = forms.CharField(max_length=1000, required=False, label="Scene in words", widget=forms.Textarea(attrs={"rows": 3}))
    closeness = forms.TypedChoiceField(
        coerce=float,
        label="How near",
        initial="0.8",
        choices=[("0.95", "very near"), ("0.8", "near"), ("0.5", "loosely"), ("1.0", "exactly this seed: compare words")],
    )
    n = forms.IntegerField(min_value=1, max_value=MAX_FRAMES, initial=12, label="How many")
    policy_version = VersionField()


class CaptureForm(_WithVersion):
    """Photograph the world."""

    n = forms.IntegerField(min_value=1, max_value=MAX_FRAMES, initial=8, label="How many")
    seed = forms.IntegerField(min_value=0, max_value=MAX_SEED, required=False, label="First seed")
    policy_version = VersionField()


class ReviewForm(forms.Form):
    """Approve, reject, flag or reopen frames."""

    state = forms.ChoiceField(choices=[(state, state) for state in ("proposed", "approved", "rejected", "flagged")])
    reason = forms.CharField(max_length=300, required=False)


class SampleForm(_WithVersion):
    """Sample rollouts."""

    n = forms.IntegerField(min_value=1, max_value=MAX_ROLLOUTS, initial=8, label="Rollouts a frame")
    seed = forms.IntegerField(min_value=0, max_value=MAX_SEED, required=False, label="First seed")
    prompt = forms.CharField(max_length=300, required=False, help_text="Empty: what the frame's scenario tells the robot.")
    policy_version = VersionsField()


class MineForm(_WithVersion):
    """Search for start frames where the policy fails."""

    budget = forms.IntegerField(min_value=MIN_BUDGET, max_value=MAX_BUDGET, initial=START["budget"], label="Start frames to try")
    dreams = forms.IntegerField(min_value=MIN_DREAMS, max_value=MAX_DREAMS, initial=START["dreams"], label="Dreams of each")
    seed = forms.IntegerField(min_value=0, max_value=MAX_SEED, initial=0)
    task = forms.ChoiceField(choices=list(TASKS.items()), required=False, help_text="A search for any finds mostly what the policy is worse at.")
    policy_version = VersionField()


class VerifyForm(_WithVersion):
    """Compare dreamed with real failures."""

    episodes = forms.IntegerField(min_value=1, max_value=200, initial=20, label="Episodes")
    policy_version = VersionField()


class SavedViewForm(forms.Form):
    """Keep a filter under a name."""

    page = forms.ChoiceField(choices=[("scenarios", ""), ("start_frames", ""), ("rollouts", "")])
    name = forms.CharField(max_length=60)
    query = forms.CharField(max_length=1000, required=False)
