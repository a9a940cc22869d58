"""The shapes of requests and answers, for the OpenAPI document. Checking is done by services."""

from __future__ import annotations

from rest_framework import serializers as s


class NextRequest(s.Serializer):
    count = s.IntegerField(min_value=1, max_value=4, default=1)
    held = s.ListField(child=s.UUIDField(), required=False, help_text="Leases that the client has already, so that they are not exchanged for others.")


class Side(s.Serializer):
    sprite_url = s.CharField()
    columns = s.IntegerField()
    path_pixels = s.ListField(child=s.ListField(child=s.FloatField()), required=False, help_text="Only where the project shows paths before the answer.")
    verdict = s.DictField(required=False, help_text="Likewise.")


class Assignment(s.Serializer):
    lease = s.UUIDField()
    comparison = s.IntegerField()
    expires_at = s.DateTimeField()
    prompt = s.CharField()
    frame_count = s.IntegerField()
    fps = s.FloatField()
    width = s.IntegerField()
    height = s.IntegerField()
    start_frame_url = s.CharField()
    left = Side()
    right = Side()
    kind = s.CharField()


class NextAnswer(s.Serializer):
    status = s.ChoiceField(choices=["ok", "all_done", "all_leased", "nothing_sampled"])
    retry_after_s = s.IntegerField()
    assignments = Assignment(many=True)


class LeaseList(s.Serializer):
    leases = s.ListField(child=s.UUIDField(), max_length=50)


class Heartbeat(s.Serializer):
    held = s.ListField(child=s.UUIDField())
    expires_at = s.DateTimeField()


class Returned(s.Serializer):
    returned = s.IntegerField()


class Segment(s.Serializer):
    side = s.ChoiceField(choices=["left", "right"])

    def get_fields(self):
        # "from" is a word of the language.
        return {**super().get_fields(), "from": s.IntegerField(min_value=0), "to": s.IntegerField(min_value=0)}


class ChoiceRequest(s.Serializer):
    lease = s.UUIDField()
    answer = s.ChoiceField(choices=["left", "right", "tie", "both_bad", "cant_tell"])
    strength = s.IntegerField(min_value=1, max_value=3, allow_null=True, required=False)
    criteria = s.DictField(child=s.ChoiceField(choices=["left", "right", "both", "neither"], allow_null=True), allow_null=True, required=False)
    success_left = s.BooleanField(allow_null=True, required=False)
    success_right = s.BooleanField(allow_null=True, required=False)
    segments = Segment(many=True, required=False)
    rationale = s.CharField(allow_blank=True, required=False)
    response_ms = s.IntegerField(min_value=0, required=False)
    replays = s.IntegerField(min_value=0, required=False)
    visible_ms = s.IntegerField(min_value=0, required=False)
    client = s.DictField(required=False)


class RevealedSide(s.Serializer):
    rollout = s.IntegerField()
    path_pixels = s.ListField(child=s.ListField(child=s.FloatField()))
    verdict = s.DictField()
    value = s.FloatField()
    version = s.CharField()


class Reveal(s.Serializer):
    left = RevealedSide()
    right = RevealedSide()


class Qualifying(s.Serializer):
    done = s.IntegerField()
    of = s.IntegerField()
    correct = s.BooleanField()
    note = s.CharField()
    result = s.CharField()


class ChoiceAnswer(s.Serializer):
    choice = s.UUIDField()
    created_at = s.DateTimeField()
    late = s.BooleanField()
    reveal = Reveal()
    qualifying = Qualifying(required=False)


class SkipRequest(s.Serializer):
    lease = s.UUIDField()
    reason = s.CharField(allow_blank=True, required=False, max_length=500)
    flag = s.BooleanField(required=False, default=False)


class Skipped(s.Serializer):
    lease = s.UUIDField()
    flag = s.BooleanField()


class Undone(s.Serializer):
    assignment = Assignment()


class Me(s.Serializer):
    stats = s.DictField()
    undoable = s.ListField(child=s.DictField())
    preferences = s.DictField()
    profile = s.DictField()
    project = s.DictField()


class Preferences(s.Serializer):
    preferences = s.DictField()
