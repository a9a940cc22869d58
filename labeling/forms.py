"""Forms of labeling's pages; the filter form also reads the query string of the API and the options of the command."""

from __future__ import annotations

from django import forms

from labeling.models import Choice, Comparison, Project, Webhook
from labeling.selectors.rounds import ChoiceFilter
from rollouts.models import PolicyVersion, Scenario

# ISO 8601 as programs write it, and as a browser's field does.
TIMES = ["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


class _Named(forms.ModelMultipleChoiceField):
    """Rows by a text column. A NUL, which no text column can hold, is a choice that does not exist, not a crash."""

    def clean(self, value):
        if any("\x00" in str(name) for name in value or ()):
            raise forms.ValidationError("There is no such choice.")
        return super().clean(value)


class ChoiceFilterForm(forms.Form):
    """Which choices; `to_filter` after `is_valid`. Empty fields do not narrow."""

    SOURCES = [("", "People and simulated"), ("people", "People only"), ("simulated", "Simulated only")]

    scenario = _Named(Scenario.objects.order_by("name"), to_field_name="slug", required=False, label="Scenarios")
    version = _Named(PolicyVersion.objects.all(), to_field_name="name", required=False, label="Policy versions", help_text="Both rollouts come from these.")
    answer = forms.MultipleChoiceField(choices=Choice.Answer.choices, required=False, label="Answers", help_text="None selected: all but “can't tell”.")
    kind = forms.MultipleChoiceField(
        choices=[(kind.value, kind.label) for kind in Comparison.Kind], required=False, label="Kinds of pair", help_text="None selected: normal."
    )
    source = forms.ChoiceField(choices=SOURCES, required=False, label="Who answered")
    since = forms.DateTimeField(required=False, label="From", input_formats=TIMES, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    until = forms.DateTimeField(required=False, label="Until", input_formats=TIMES, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    qualified_only = forms.BooleanField(required=False, label="Only qualified annotators")
    include_excluded = forms.BooleanField(required=False, label="Also excluded choices")

    def to_filter(self) -> ChoiceFilter:
        data = self.cleaned_data
        return ChoiceFilter(
            scenarios=tuple(sorted(scenario.pk for scenario in data["scenario"])),
            policy_versions=tuple(sorted(version.pk for version in data["version"])),
            answers=tuple(data["answer"]) or ChoiceFilter.answers,
            kinds=tuple(data["kind"]) or ChoiceFilter.kinds,
            simulated={"people": False, "simulated": True}.get(data["source"]),
            created_after=data["since"],
            created_before=data["until"],
            qualified_only=data["qualified_only"],
            include_excluded=data["include_excluded"],
        )


class ExcludeForm(forms.Form):
    from_at = forms.DateTimeField(label="From", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    until_at = forms.DateTimeField(label="Until", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    reason = forms.CharField(label="Why", widget=forms.Textarea(attrs={"rows": 2}), max_length=1000)


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Why", max_length=300)


class GoldForm(forms.Form):
    comparison = forms.ModelChoiceField(Comparison.objects.all(), widget=forms.NumberInput, label="Comparison", help_text="Its number.")
    answer = forms.ChoiceField(choices=Comparison.Answer.choices, label="Known answer")
    note = forms.CharField(required=False, max_length=500, label="Why it is so", help_text="Shown in the guide and after a qualifying answer.")
    use = forms.ChoiceField(
        choices=[("mixed", "Mixed in unseen"), ("qualifying", "Part of the qualifying set"), ("example", "An example in the guide")],
        label="What it is for",
        help_text="An example stands in the guide with its answer and its reason, and is given to nobody.",
    )

    def clean(self) -> dict:
        data = super().clean() or {}
        if data.get("use") == "example" and not data.get("note"):
            self.add_error("note", "An example needs a reason: it is what the guide teaches.")
        return data


class ProjectForm(forms.ModelForm):
    criteria_text = forms.CharField(
        label="Criteria",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="One on each line: key: what the annotator reads. Empty: none is asked.",
    )

    class Meta:
        model = Project
        fields = [
            "ask_strength", "ask_success", "paths_before", "required_overlap", "lease_seconds", "pair_strategy", "pair_pool",
            "cross_version_share", "pair_rejected", "queue_ahead", "gold_share", "repeat_share", "repeat_after", "qualifying_pairs",
            "qualifying_accuracy", "break_after_minutes", "too_fast_ms",
        ]  # fmt: skip

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.initial["criteria_text"] = "\n".join(f"{c['key']}: {c['label']}" for c in self.instance.criteria)

    def clean_criteria_text(self) -> list[dict]:
        criteria = []
        for line in self.cleaned_data["criteria_text"].splitlines():
            if not line.strip():
                continue
            key, colon, label = (part.strip() for part in line.partition(":"))
            if not colon or not label or not key.isidentifier() or len(key) > 40 or len(label) > 120:
                raise forms.ValidationError(f"“{line.strip()}” is not “key: what the annotator reads”; a key is letters, digits and _.")
            criteria.append({"key": key, "label": label})
        if len({criterion["key"] for criterion in criteria}) != len(criteria):
            raise forms.ValidationError("Two criteria have the same key.")
        if len(criteria) > 8:
            raise forms.ValidationError("At most eight criteria.")
        return criteria


class WebhookForm(forms.ModelForm):
    url = forms.URLField(label="URL", assume_scheme="https", max_length=Webhook._meta.get_field("url").max_length)

    class Meta:
        model = Webhook
        fields = ["url", "description", "include_simulated"]
        labels = {"include_simulated": "Also choices of simulated annotators"}
