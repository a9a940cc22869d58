"""Who may do what: roles, one-time sign-in links and API tokens.

Roles are groups (`core.roles`); an admin and a superuser hold all of them. Every view and API asks here.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core.audit import record
from core.models import ApiToken, SignInLink, User
from core.roles import ADMIN, ANNOTATOR, RESEARCHER, ROLES

__all__ = ["ADMIN", "ANNOTATOR", "RESEARCHER", "ROLES", "PersonRequest", "has_any_role", "has_role", "role_required"]


class PersonRequest(HttpRequest):
    """A request behind `role_required` or `login_required`: its user is a person. For annotations."""

    user: User  # type: ignore[assignment]


AGAIN = "core.sign_in.again"  # salt of a form that waits for its person to sign in

View = Callable[..., HttpResponseBase]


def has_role(user: User | AnonymousUser | None, *roles: str) -> bool:
    """True if the person holds any of `roles`.

    Raises:
        ValueError: a role that does not exist (a misspelt role must not lock out or let in in silence).
    """
    if unknown := set(roles) - set(ROLES):
        raise ValueError(f"unknown roles {sorted(unknown)}; expected some of {ROLES}")
    return isinstance(user, User) and not user.roles().isdisjoint(roles)


def has_any_role(user: User | AnonymousUser | None) -> bool:
    return has_role(user, *ROLES)


def role_required(*roles: str) -> Callable[[View], View]:
    """A view for people with any of `roles`: others are sent to sign in, or get 403 if they have."""
    has_role(None, *roles)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _sign_in_first(request)
            if not has_role(request.user, *roles):
                raise PermissionDenied(f"This page is for {' and '.join(f'{role}s' for role in roles)}.")
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _sign_in_first(request: HttpRequest) -> HttpResponseBase:
    """To the sign-in page; a form that was sent after the session had expired comes along and can be sent again."""
    if request.method != "POST" or request.headers.get("HX-Request"):
        return redirect_to_login(request.get_full_path(), reverse("core:sign_in"))
    fields = [(name, value) for name, values in request.POST.lists() for value in values if name != "csrfmiddlewaretoken"]
    again = signing.dumps({"path": request.get_full_path(), "fields": fields}, salt=AGAIN, compress=True)
    return render(request, "core/sign_in.html", {"form": AuthenticationForm(request), "next": "/", "again": again}, status=401)


def _hash(token: str) -> str:
    # A token is 256 random bits: there is nothing to guess, so a slow hash would only slow the server.
    return hashlib.sha256(token.encode()).hexdigest()


def people_with(role: str) -> QuerySet[User]:
    """People who hold a role and may sign in, those who were here last first."""
    has_role(None, role)
    return User.objects.filter(groups__name=role, is_active=True).order_by(F("last_login").desc(nulls_last=True), "pk")


# -- People ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def person_ensure(*, username: str, roles: tuple[str, ...], name: str = "") -> User:
    """Find or make a person (without a password) and give them `roles` in addition to what they hold."""
    has_role(None, *roles)
    user, made = User.objects.get_or_create(username=username, defaults={"first_name": name})
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    user.groups.add(*[Group.objects.get_or_create(name=role)[0] for role in roles])
    user.__dict__.pop("_roles", None)
    return user


@transaction.atomic
def person_create(*, username: str, name: str, roles: list[str], active: bool, by: User) -> User:
    """A new person, without a password: they come by a sign-in link."""
    user = User(username=username, first_name=name, is_active=active)
    user.set_unusable_password()
    user.save()
    user.groups.set(Group.objects.filter(name__in=roles))
    record(actor=by, action="person.create", target=user, after={"roles": sorted(roles), "active": active})
    return user


@transaction.atomic
def person_update(*, person: User, username: str, name: str, roles: list[str], active: bool, by: User) -> User:
    """Change a person's name, roles or whether they may sign in.

    Raises:
        ValidationError: an admin would lock themselves out.
    """
    if person == by and (ADMIN not in roles or not active) and not by.is_superuser:
        raise ValidationError("You cannot take the admin role or the sign-in from yourself; ask another admin.")
    before = {"username": person.username, "name": person.first_name, "roles": sorted(person.roles()), "active": person.is_active}
    person.username, person.first_name, person.is_active = username, name, active
    person.save(update_fields=["username", "first_name", "is_active"])
    person.groups.set(Group.objects.filter(name__in=roles))
    person.__dict__.pop("_roles", None)
    after = {"username": username, "name": name, "roles": sorted(roles), "active": active}
    record(actor=by, action="person.change", target=person, before=before, after=after)
    return person


# -- One-time sign-in links -----------------------------------------------------------------------------------------


def sign_in_link_create(*, user: User, created_by: User | None = None) -> str:
    """A path that signs `user` in once, within DREAMFORK_SIGN_IN_LINK_HOURS."""
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(
        token_hash=_hash(token), user=user, created_by=created_by, expires_at=timezone.now() + timedelta(hours=settings.SIGN_IN_LINK_HOURS)
    )
    return reverse("core:sign_in_link", args=[token])


def sign_in_link_get(*, token: str) -> SignInLink | None:
    """The link if it can still be used."""
    return SignInLink.objects.select_related("user").filter(token_hash=_hash(token), used_at=None, expires_at__gt=timezone.now(), user__is_active=True).first()


def sign_in_link_use(*, token: str) -> User | None:
    """The person to sign in. Of two who come at once, one gets it: the row is claimed by a conditional update."""
    link = sign_in_link_get(token=token)
    if link is None or not SignInLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now()):
        return None
    return link.user


# -- API tokens -----------------------------------------------------------------------------------------------------


def api_token_create(*, user: User, name: str) -> tuple[ApiToken, str]:
    """A token and its secret; the secret is not kept."""
    secret = f"df_{secrets.token_urlsafe(32)}"
    return ApiToken.objects.create(user=user, name=name, token_hash=_hash(secret)), secret


def api_token_revoke(*, token: ApiToken) -> None:
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def api_token_user(*, secret: str) -> User | None:
    """The person a program acts for, or None."""
    token = ApiToken.objects.select_related("user").filter(token_hash=_hash(secret), revoked_at=None, user__is_active=True).first()
    if token is None:
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > timedelta(minutes=1):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token.user
