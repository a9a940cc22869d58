"""What pages send: typed, limited, and said plainly when wrong. The rules themselves are in the services."""

from __future__ import annotations

from typing import Any

from django import forms

from rollouts.models import PolicyVersion, Scenario
from rollouts.selectors import policy_versions_usable
from training.learn.dpo_settings import DPOSettings
from training.learn.gate import GateSettings
from training.services.round_settings import RoundSettings, SuiteSettings

DPO, GATE, SUITE, ROUND = DPOSettings(), GateSettings(), SuiteSettings(), RoundSettings()
FEWEST = f"On fewer than {GATE.min_episodes} the gate promotes nothing."
SCENES_HELP = "None selected: the dog lying in the way, walking across, and lying near the target."
WHO = (("", "people and simulated annotators"), ("people", "people only"), ("simulated", "simulated annotators only"))


class RoundForm(forms.Form):
    """Everything a round may be told. What is left alone keeps its default."""

    parent = forms.ModelChoiceField(
        PolicyVersion.objects.none(), label="Parent version", help_text="The version that is trained; it is also the reference that the child is held to."
    )
    name = forms.CharField(max_length=80, required=False, label="Name of the child", help_text="Left empty, the parent's name with a round number.")
    note = forms.CharField(
        max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2}), label="What is tried", help_text="For whoever reads it later."
    )

    scenarios = forms.ModelMultipleChoiceField(
        Scenario.objects.none(), required=False, label="Choices about scenarios", help_text="None selected: all of them.", widget=forms.CheckboxSelectMultiple
    )
    who = forms.ChoiceField(choices=WHO, required=False, label="Choices of")
    qualified_only = forms.BooleanField(required=False, label="Only annotators who passed the qualifying set")
    created_after = forms.DateTimeField(required=False, label="Not before", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    min_response_ms = forms.IntegerField(required=False, min_value=0, max_value=600_000, label="At least this long to answer (ms)")
    weighting = forms.ChoiceField(
        choices=(("model", "by the annotator model"), ("equal", "all the same")),
        initial="model",
        label="Weigh annotators",
        help_text="The model gives less weight to people who answer by side or at random.",
    )

    steps = forms.IntegerField(min_value=1, max_value=100_000, initial=DPO.steps, label="Steps")
    learning_rate = forms.FloatField(min_value=1e-8, max_value=1.0, initial=DPO.learning_rate, label="Learning rate")
    beta = forms.FloatField(
        min_value=0.001, max_value=1e6, initial=DPO.beta, label="Beta", help_text="Errors are means: a margin of 1 needs an error gap of 2 / beta."
    )
    anchor_weight = forms.FloatField(
        min_value=0, max_value=100, initial=DPO.anchor_weight, label="Winner anchor", help_text="Without it the winner's error may rise with the margin."
    )
    label_smoothing = forms.FloatField(
        min_value=0, max_value=0.49, initial=DPO.label_smoothing, label="Assumed wrong answers", help_text="Label smoothing, 0 to 0.49."
    )
    adapt = forms.ChoiceField(choices=(("full", "all weights"), ("lora", "low-rank adapters")), initial=DPO.adapt, label="Train")
    credit = forms.ChoiceField(
        choices=(("robot", "what the robot does"), ("all", "everything in the dream")),
        initial=DPO.credit,
        label="A choice is about",
        help_text="With everything, dreams in which the dog steps aside are learned as well. The dog does not know that.",
    )
    scale_loser = forms.BooleanField(required=False, label="Hold the loser's gradient back where it would raise the winner's error (SDPO)")
    mirror = forms.BooleanField(
        required=False,
        initial=True,
        label="Learn from every choice in a mirror, too",
        help_text="A dog on the left teaches about one on the right. Not gestures.",
    )
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, initial=DPO.seed, label="Seed")

    adversarial = forms.IntegerField(min_value=0, max_value=5000, initial=SUITE.adversarial, label="Adversarial episodes", help_text=FEWEST)
    ordinary = forms.IntegerField(min_value=0, max_value=5000, initial=SUITE.ordinary, label="Ordinary episodes", help_text=FEWEST)
    dreams = forms.IntegerField(min_value=1, max_value=16, initial=SUITE.dreams, label="Dreams per plan", help_text="The value head picks one of them.")
    scenes = forms.ModelMultipleChoiceField(
        Scenario.objects.none(), required=False, label="Adversarial scenes", help_text=SCENES_HELP, widget=forms.CheckboxSelectMultiple
    )
    ordinary_margin = forms.FloatField(
        min_value=0, max_value=1, initial=GATE.ordinary_margin, label="Ordinary success may fall by", help_text="0.03 is three points."
    )
    ordinary_floor = forms.FloatField(min_value=0, max_value=1, initial=GATE.ordinary_floor, label="… and its interval reach down to")
    confidence = forms.FloatField(min_value=0.5, max_value=0.999, initial=GATE.confidence, label="Confidence of intervals")
    auto_promote = forms.BooleanField(required=False, initial=True, label="Activate the child at once if the gate says yes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = policy_versions_usable()
        self.fields["parent"].queryset = versions  # type: ignore[attr-defined]
        self.fields["parent"].initial = versions.first()
        self.fields["scenarios"].queryset = Scenario.objects.exclude(state="retired").order_by("name")  # type: ignore[attr-defined]
        self.fields["scenes"].queryset = Scenario.objects.filter(state="active").order_by("name")  # type: ignore[attr-defined]

    def choices(self) -> dict[str, Any]:
        """The filter as `RoundSettings.choices` takes it."""
        data = self.cleaned_data
        found: dict[str, Any] = {}
        if data.get("scenarios"):
            found["scenarios"] = sorted(scenario.pk for scenario in data["scenarios"])
        if data.get("who"):
            found["simulated"] = data["who"] == "simulated"
        if data.get("qualified_only"):
            found["qualified_only"] = True
        if data.get("created_after"):
            found["created_after"] = data["created_after"].isoformat()
        if data.get("min_response_ms"):
            found["min_response_ms"] = data["min_response_ms"]
        return found

    def settings(self) -> dict[str, Any]:
        data = self.cleaned_data
        dpo = {name: data[name] for name in ("steps", "learning_rate", "beta", "anchor_weight", "label_smoothing", "adapt", "credit", "seed")}
        return {
            "choices": self.choices(),
            "weighting": data["weighting"],
            "dpo": {**dpo, "loser_safety": 0.9 if data["scale_loser"] else None},
            "suite": {
                **{name: data[name] for name in ("adversarial", "ordinary", "dreams")},
                "scenarios": [scenario.slug for scenario in data["scenes"]],
            },
            "gate": {name: data[name] for name in ("ordinary_margin", "ordinary_floor", "confidence")},
            "mirror": data["mirror"],
            "auto_promote": data["auto_promote"],
        }


class ReasonForm(forms.Form):
    """Why: for overriding the gate, rolling back, cancelling."""

    reason = forms.CharField(max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 3}))


class EvaluationForm(forms.Form):
    version = forms.ModelChoiceField(PolicyVersion.objects.none(), label="Version")
    adversarial = forms.IntegerField(min_value=0, max_value=5000, initial=SUITE.adversarial, label="Adversarial episodes")
    ordinary = forms.IntegerField(min_value=0, max_value=5000, initial=SUITE.ordinary, label="Ordinary episodes")
    dreams = forms.IntegerField(min_value=1, max_value=16, initial=SUITE.dreams, label="Dreams per plan", help_text="More than one: the value head picks.")
    seed = forms.IntegerField(min_value=0, max_value=10_000, initial=0, label="Seed", help_text="Equal numbers and seed are the same episodes.")
    scenarios = forms.ModelMultipleChoiceField(
        Scenario.objects.none(),
        required=False,
        label="Adversarial scenes",
        widget=forms.CheckboxSelectMultiple,
        help_text=SCENES_HELP,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["version"].queryset = PolicyVersion.objects.exclude(state="retired").order_by("-is_active", "-created_at")  # type: ignore[attr-defined]
        self.fields["version"].initial = self.fields["version"].queryset.first()  # type: ignore[attr-defined]
        self.fields["scenarios"].queryset = Scenario.objects.filter(state="active").order_by("name")  # type: ignore[attr-defined]

    def settings(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            **{name: data[name] for name in ("adversarial", "ordinary", "dreams", "seed")},
            "scenarios": [scenario.slug for scenario in data["scenarios"]],
        }


class ScheduleForm(forms.Form):
    name = forms.CharField(max_length=80, initial="nightly")
    every_choices = forms.IntegerField(min_value=1, required=False, label="After so many new choices")
    every_hours = forms.IntegerField(min_value=1, required=False, label="Or after so many hours")
    min_choices = forms.IntegerField(min_value=1, initial=50, label="But never with fewer new choices than")
