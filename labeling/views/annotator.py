"""Pages for those who answer: the player, the guide, their own statistics."""

from __future__ import annotations

from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.people import ADMIN, people_with, role_required
from labeling import services
from labeling.models import AnnotatorProfile, Choice, Comparison, Project
from labeling.selectors import statistics
from labeling.views import PersonRequest
from labeling.views.clips import clip

EXAMPLES = 4
ASK_AT_MOST = 3


@require_GET
@role_required("annotator")
def compare(request: PersonRequest) -> HttpResponse:
    profile = services.annotator_profile(user=request.user)
    return render(request, "labeling/compare.html", {"profile": profile, "project": Project.current()})


@require_GET
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker that keeps the comparison page within reach offline.

    Served from here and not with the static files, so that the browser lets it look after pages under /label/ and no others. It holds
    no secret, and a browser must be able to renew it whoever is signed in.
    """
    path = finders.find("label-worker.js")
    if path is None:
        raise Http404("The front end is not built.")
    return HttpResponse(Path(path).read_bytes(), content_type="text/javascript; charset=utf-8", headers={"Cache-Control": "no-cache"})


@require_GET
@role_required("annotator")
def guide(request: PersonRequest) -> HttpResponse:
    project = Project.current()
    profile = services.annotator_profile(user=request.user)
    context = {
        "project": project,
        "profile": profile,
        "examples": _examples(request.user),
        "qualifying": _qualifying(request.user, profile, project),
    }
    return render(request, "labeling/guide.html", context)


@require_POST
@role_required("annotator")
def guide_read(request: PersonRequest) -> HttpResponse:
    services.guide_mark_read(user=request.user)
    return redirect("labeling:compare")


@require_GET
@role_required("annotator")
def stats(request: PersonRequest) -> HttpResponse:
    recent = (
        Choice.objects.filter(annotator=request.user)
        .select_related("comparison__start_frame__image", "comparison__rollout_a", "undone_by")
        .order_by("-created_at")[:20]
    )
    context = {
        "stats": statistics.statistics(user=request.user),
        "charts": statistics.charts(user=request.user),
        "recent": recent,
        "profile": services.annotator_profile(user=request.user),
        "project": Project.current(),
    }
    return render(request, "labeling/stats.html", context)


def _examples(user) -> list[dict]:
    """Gold pairs that are there to be shown, then those that this person has answered already: nothing that measures is given away."""
    gold = (
        Comparison.objects.filter(kind=Comparison.Kind.GOLD, gold_answer__in=["a", "b"], qualifying=False, gold_note__gt="")
        .exclude(state=Comparison.State.RETIRED)
        .select_related("rollout_a__sprite", "rollout_b__sprite")
        .order_by("id")
    )
    shown = [comparison for comparison in gold[:50] if comparison.state == Comparison.State.DONE]
    answered = gold.filter(choices__annotator=user, choices__undone_by__isnull=True)
    chosen = {comparison.pk: comparison for comparison in [*shown, *answered[:EXAMPLES]]}
    examples = []
    for comparison in list(chosen.values())[:EXAMPLES]:
        better, worse = comparison.rollout_a, comparison.rollout_b
        if comparison.gold_answer == "b":
            better, worse = worse, better
        viewer = {"rollouts": [clip(better, "Better"), clip(worse, "Worse")], "overlay": False}
        examples.append({"prompt": better.prompt, "note": comparison.gold_note, "viewer": viewer})
    return examples


def _qualifying(user, profile: AnnotatorProfile, project: Project) -> dict | None:
    available = Comparison.objects.filter(qualifying=True, state=Comparison.State.OPEN).count()
    of = min(project.qualifying_pairs, available)
    if not of:
        return None
    answers = list(
        Choice.objects.filter(annotator=user, undone_by__isnull=True, comparison__qualifying=True).select_related("comparison").order_by("created_at")
    )
    right = sum(choice.answer == choice.comparison.gold_answer for choice in answers)
    found = {"of": of, "done": len(answers), "right": right, "state": profile.qualification, "label": profile.get_qualification_display()}
    if profile.qualification == AnnotatorProfile.Qualification.FAILED:
        found |= {"needed": project.qualifying_accuracy, "ask": [str(admin) for admin in people_with(ADMIN)[:ASK_AT_MOST]]}
    elif profile.qualification == AnnotatorProfile.Qualification.NONE:
        found["again"] = Choice.objects.filter(annotator=user, undone_by__isnull=False, comparison__qualifying=True).exists()
    return found
