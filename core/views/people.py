"""Signing in and out, one's own account, and (for admins) who holds which role."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core import people as services
from core.audit import record
from core.forms import PersonForm, TokenForm
from core.models import ApiToken, User
from core.people import ADMIN, PersonRequest, role_required
from core.roles import ROLES

_BACKEND = "django.contrib.auth.backends.ModelBackend"


def _next(request: HttpRequest) -> str:
    """Where the person was going, if that is here."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    return "/"


def _again(request: HttpRequest) -> dict[str, Any] | None:
    """The form that was sent when the session had expired: {"path", "fields"}, if it came along and we signed it."""
    try:
        kept: dict[str, Any] = signing.loads(request.POST.get("again", ""), salt=services.AGAIN, max_age=24 * 3600)
    except signing.BadSignature:
        return None
    return kept


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.method == "GET" and request.user.is_authenticated and "next" not in request.GET:
        return redirect("core:home")
    form = AuthenticationForm(request, data=request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user())
        if again := _again(request):
            return render(request, "core/send_again.html", again)
        return HttpResponseRedirect(_next(request))
    context = {"form": form, "next": _next(request), "oidc_name": settings.OIDC_NAME, "again": request.POST.get("again", "")}
    return render(request, "core/sign_in.html", context, status=400 if request.method == "POST" else 200)


def locked_out(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """What django-axes shows after too many wrong passwords."""
    return render(request, "core/locked_out.html", {"minutes": int(settings.AXES_COOLOFF_TIME * 60)}, status=429)


@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A page with one button: chat programs that fetch links to preview them must not use the link up."""
    if request.method == "POST":
        user = services.sign_in_link_use(token=token)
        if user is not None:
            login(request, user, backend=_BACKEND)
            return redirect("core:home")
    link = services.sign_in_link_get(token=token)
    return render(request, "core/sign_in_link.html", {"link": link}, status=200 if link else 410)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("core:sign_in")


@login_required
@require_GET
def account(request: PersonRequest) -> HttpResponse:
    return _account(request)


def _account(request: PersonRequest, *, status: int = 200, secret: str = "", **forms: Any) -> HttpResponse:
    context = {
        "password_form": _password_form(request, None),
        "token_form": TokenForm(),
        "tokens": request.user.api_tokens.filter(revoked_at=None),
        "held_roles": [role for role in ROLES if role in request.user.roles()],
        "secret": secret,
        **forms,
    }
    return render(request, "core/account.html", context, status=status)


def _password_form(request: PersonRequest, data: Any) -> "SetPasswordForm[User]":
    """Who came by a one-time link has no old password to give."""
    return (PasswordChangeForm if request.user.has_usable_password() else SetPasswordForm)(request.user, data)


@sensitive_post_parameters()
@login_required
@require_POST
def change_password(request: PersonRequest) -> HttpResponse:
    form = _password_form(request, request.POST)
    if not form.is_valid():
        return _account(request, password_form=form, status=400)
    form.save()
    update_session_auth_hash(request, form.user)
    record(actor=request.user, action="person.password", target=request.user)
    messages.success(request, "Your password is changed. Other browsers are signed out.")
    return redirect("core:account")


@login_required
@require_POST
def create_token(request: PersonRequest) -> HttpResponse:
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _account(request, token_form=form, status=400)
    token, secret = services.api_token_create(user=request.user, name=form.cleaned_data["name"])
    record(actor=request.user, action="token.create", target=f"API token {token.name}")
    return _account(request, secret=secret, status=201)


@login_required
@require_POST
def revoke_token(request: PersonRequest, token_id: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=token_id, user=request.user)
    services.api_token_revoke(token=token)
    record(actor=request.user, action="token.revoke", target=f"API token {token.name}")
    messages.success(request, f"The token {token.name} no longer works.")
    return redirect("core:account")


# -- Admins ---------------------------------------------------------------------------------------------------------


@role_required(ADMIN)
@require_http_methods(["GET", "POST"])
def people(request: PersonRequest) -> HttpResponse:
    form = PersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = services.person_create(by=request.user, **form.cleaned_data)
        messages.success(request, f"{user} is here. Send them a sign-in link.")
        return redirect("core:person", user.pk)
    everyone = User.objects.prefetch_related("groups").order_by("-is_active", "username")
    return render(request, "core/people.html", {"form": form, "everyone": everyone}, status=400 if form.errors else 200)


@role_required(ADMIN)
@require_http_methods(["GET", "POST"])
def person(request: PersonRequest, user_id: int) -> HttpResponse:
    user = get_object_or_404(User, pk=user_id)
    initial = {"username": user.username, "name": user.first_name, "roles": [role for role in ROLES if role in user.roles()], "active": user.is_active}
    form = PersonForm(request.POST or None, initial=initial, person=user)
    if request.method == "POST" and form.is_valid():
        try:
            services.person_update(person=user, by=request.user, **form.cleaned_data)
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            messages.success(request, f"{user} is changed.")
            return redirect("core:people")
    return render(request, "core/person.html", {"form": form, "person": user}, status=400 if form.errors else 200)


@role_required(ADMIN)
@require_POST
def create_link(request: PersonRequest, user_id: int) -> HttpResponse:
    user = get_object_or_404(User, pk=user_id, is_active=True)
    path = services.sign_in_link_create(user=user, created_by=request.user)
    record(actor=request.user, action="person.sign_in_link", target=user)
    return render(request, "core/link.html", {"person": user, "link": f"{settings.SITE_URL}{path}", "hours": settings.SIGN_IN_LINK_HOURS}, status=201)
