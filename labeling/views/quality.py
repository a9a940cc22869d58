"""Pages for admins: annotators, exclusions, gold pairs, settings, webhooks."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.models import User
from core.people import role_required
from labeling import services
from labeling.errors import LabelingError
from labeling.forms import ExcludeForm, GoldForm, ProjectForm, ReasonForm, WebhookForm
from labeling.models import AnnotatorProfile, Comparison, Exclusion, Project, Webhook
from labeling.selectors import quality as selectors
from labeling.views import PersonRequest
from labeling.views.clips import pair_viewer


@require_GET
@role_required("admin")
def quality(request: PersonRequest) -> HttpResponse:
    flagged = [(comparison, pair_viewer(comparison, autoplay=False)) for comparison in selectors.flagged_comparisons()]
    context = {"overall": selectors.overall(), "charts": selectors.time_charts(), "flagged": flagged, "queue": selectors.queue_state()}
    return render(request, "labeling/quality.html", context)


@require_GET
@role_required("admin")
def annotator(request: PersonRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(User, pk=user_id, labeling_profile__isnull=False)
    return _annotator_page(request, person, ExcludeForm(initial={"from_at": timezone.localtime().strftime("%Y-%m-%dT%H:%M")}))


@require_POST
@role_required("admin")
def exclude(request: PersonRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(User, pk=user_id, labeling_profile__isnull=False)
    form = ExcludeForm(request.POST)
    if not form.is_valid():
        return _annotator_page(request, person, form, status=422)
    try:
        services.annotator_exclude(annotator=person, by=request.user, **form.cleaned_data)
    except LabelingError as error:
        form.add_error(None, error.message)
        return _annotator_page(request, person, form, status=422)
    messages.success(request, f"Choices of {person} from {form.cleaned_data['from_at']:%Y-%m-%d %H:%M} on do not count any more.")
    return redirect("labeling:annotator", user_id)


@require_POST
@role_required("admin")
def lift(request: PersonRequest, exclusion_id: int) -> HttpResponse:
    exclusion = get_object_or_404(Exclusion, pk=exclusion_id)
    try:
        services.exclusion_lift(exclusion=exclusion, by=request.user)
        messages.success(request, f"Choices of {exclusion.annotator} count again.")
    except LabelingError as error:
        messages.error(request, error.message)
    return redirect("labeling:annotator", exclusion.annotator_id)


@require_POST
@role_required("admin")
def retry(request: PersonRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(User, pk=user_id, labeling_profile__isnull=False)
    try:
        services.annotator_retry_qualification(annotator=person, by=request.user)
        messages.success(request, f"{person} gets another try at the qualifying set.")
    except LabelingError as error:
        messages.error(request, error.message)
    return redirect("labeling:annotator", user_id)


@require_POST
@role_required("admin")
def waive(request: PersonRequest, user_id: int) -> HttpResponse:
    person = get_object_or_404(User, pk=user_id, labeling_profile__isnull=False)
    form = ReasonForm(request.POST)
    if form.is_valid():
        services.annotator_waive_qualification(annotator=person, by=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, f"{person} counts as qualified.")
    else:
        messages.error(request, "Say why.")
    return redirect("labeling:annotator", user_id)


@require_POST
@role_required("admin")
def fit(request: PersonRequest) -> HttpResponse:
    from core.jobs import submit

    job = submit(kind="labeling.annotator_model", params={"force": True}, created_by=request.user)
    return redirect(job)


@require_POST
@role_required("admin")
def fill(request: PersonRequest) -> HttpResponse:
    from core.jobs import submit

    return redirect(submit(kind="labeling.pairs_ahead", params={}, created_by=request.user))


@require_http_methods(["GET", "POST"])
@role_required("admin")
def gold(request: PersonRequest) -> HttpResponse:
    form = GoldForm(request.POST or None, initial={"comparison": request.GET.get("comparison")})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            services.comparison_make_gold(
                comparison=data["comparison"], answer=data["answer"], note=data["note"], by=request.user,
                qualifying=data["use"] == "qualifying", example=data["use"] == "example",
            )  # fmt: skip
            messages.success(request, f"Comparison {data['comparison'].pk} is gold now.")
            return redirect("labeling:gold")
        except LabelingError as error:
            form.add_error("comparison", error.message)
    context = {"form": form, "pairs": selectors.gold_pairs(), "unanimous": selectors.unanimous_pairs(), "looked_at": _looked_at(form)}
    return render(request, "labeling/gold.html", context, status=422 if form.is_bound else 200)


@require_POST
@role_required("admin")
def retire(request: PersonRequest, comparison_id: int) -> HttpResponse:
    comparison = get_object_or_404(Comparison, pk=comparison_id)
    services.comparison_retire(comparison=comparison, by=request.user, reason=request.POST.get("reason", ""))
    messages.success(request, f"Comparison {comparison.pk} is out of the queue.")
    return redirect("labeling:gold" if request.POST.get("back") == "labeling:gold" else "labeling:quality")


@require_POST
@role_required("admin")
def unflag(request: PersonRequest, comparison_id: int) -> HttpResponse:
    comparison = get_object_or_404(Comparison, pk=comparison_id)
    services.comparison_unflag(comparison=comparison, by=request.user)
    messages.success(request, f"Comparison {comparison.pk} stays in the queue.")
    return redirect("labeling:quality")


@require_http_methods(["GET", "POST"])
@role_required("admin")
def project(request: PersonRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None, instance=Project.current())
    if request.method == "POST" and form.is_valid():
        services.project_save(project=form.save(commit=False), criteria=form.cleaned_data["criteria_text"], by=request.user)
        messages.success(request, "Kept. New leases and comparisons follow these settings.")
        return redirect("labeling:project")
    return render(request, "labeling/project.html", {"form": form}, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
@role_required("admin")
def webhooks(request: PersonRequest) -> HttpResponse:
    form = WebhookForm(request.POST or None)
    secret = None
    if request.method == "POST" and form.is_valid():
        try:
            _, secret = services.webhook_create(by=request.user, **form.cleaned_data)
            form = WebhookForm()
        except LabelingError as error:
            form.add_error("url", error.message)
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "labeling/webhooks.html", {"form": form, "secret": secret, "webhooks": selectors.webhooks()}, status=status)


@require_POST
@role_required("admin")
def webhook_switch(request: PersonRequest, webhook_id: int) -> HttpResponse:
    webhook = get_object_or_404(Webhook, pk=webhook_id)
    services.webhook_switch(webhook=webhook, on=not webhook.is_active, by=request.user)
    return redirect("labeling:webhooks")


def _looked_at(form: GoldForm) -> dict | None:
    """The pair whose number stands in the form: nobody should give an answer to what they have not seen."""
    number = str(form["comparison"].value() or "")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    comparison = Comparison.objects.select_related("rollout_a", "rollout_b").filter(pk=int(number)).first()
    return None if comparison is None else {"comparison": comparison, "viewer": pair_viewer(comparison)}


def _annotator_page(request: PersonRequest, person: User, form: ExcludeForm, status: int = 200) -> HttpResponse:
    context = {
        "person": person,
        "profile": AnnotatorProfile.objects.get(user=person),
        "quality": selectors.annotators_quality(annotator=person)[0],
        "charts": selectors.time_charts(annotator=person),
        "form": form,
        "reason_form": ReasonForm(),
    }
    return render(request, "labeling/annotator.html", context, status=status)
