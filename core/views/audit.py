"""The audit log."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.models import AuditEntry
from core.people import ADMIN, role_required


@role_required(ADMIN)
@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    entries = AuditEntry.objects.all()
    search, action = request.GET.get("q", "").strip()[:100], request.GET.get("action", "")
    if search:
        entries = entries.filter(target__icontains=search) | entries.filter(actor_name__icontains=search)
    if action:
        entries = entries.filter(action=action)
    context = {
        "page": Paginator(entries, 50).get_page(request.GET.get("page")),
        "actions": AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct(),
        "q": search,
        "action": action,
    }
    return render(request, "core/audit.html", context)
