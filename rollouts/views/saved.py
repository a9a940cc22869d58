"""Saved views: a person's named filters."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from core.people import role_required
from rollouts.forms import SavedViewForm
from rollouts.models import SavedView
from rollouts.views.common import person, tell_errors


@require_POST
@role_required("researcher")
def saved_view_create(request: HttpRequest) -> HttpResponse:
    form = SavedViewForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect("rollouts:scenarios")
    data = form.cleaned_data
    query = QueryDict(data["query"]).urlencode()  # parsed and written anew: nothing but a query string gets in
    view, _ = SavedView.objects.update_or_create(owner=person(request), page=data["page"], name=data["name"].strip(), defaults={"query": query})
    messages.success(request, f"Saved as “{view.name}”.")
    return redirect(view)


@require_POST
@role_required("researcher")
def saved_view_delete(request: HttpRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView, pk=pk, owner=person(request))
    page = view.page
    view.delete()
    return redirect(f"rollouts:{page}")
