"""Policy versions: the tree, one version with its lineage, and making one active again."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.people import role_required
from rollouts.models import PolicyVersion
from rollouts.services import RolloutsError
from training import selectors, services
from training.forms import ReasonForm


@require_GET
@role_required("researcher")
def versions(request: HttpRequest) -> HttpResponse:
    chart = selectors.versions_over_time()
    return render(
        request,
        "training/versions.html",
        {"tree": selectors.lineage_tree(), "chart": json.dumps(chart), "names": list(enumerate(chart["x"]["names"], start=1))},
    )


@require_GET
@role_required("researcher")
def version(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(PolicyVersion.objects.select_related("parent", "created_by", "made_by_round"), pk=pk)
    best_of_n = selectors.best_of_n(row.pk)
    return render(
        request,
        "training/version.html",
        {
            "version": row,
            **selectors.version_facts(row),
            "evaluations": selectors.evaluations_listed(version=str(row.pk))[:20],
            "best_of_n": json.dumps(best_of_n) if best_of_n else "",
            "lineage_text": json.dumps({name: value for name, value in row.lineage.items() if name != "card"}, indent=2, sort_keys=True),
            "metrics_text": json.dumps(row.metrics, indent=2, sort_keys=True),
            "reason_form": ReasonForm(),
        },
    )


@require_POST
@role_required("researcher")
def version_activate(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(PolicyVersion, pk=pk)
    try:
        services.version_rollback(version=row, by=request.user, reason=request.POST.get("reason", "")[:2000])
    except (services.TrainingError, RolloutsError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"“{row.name}” is active; the next rollouts are sampled from it.")
    return redirect("training:version", pk=pk)
