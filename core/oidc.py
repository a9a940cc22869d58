"""What becomes of a person who signs in by OpenID Connect: a name, and the roles that the issuer gives them."""

from typing import Any

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import Group
from django.http import HttpRequest

from core.audit import record
from core.models import User
from core.roles import ROLES


class Adapter(DefaultSocialAccountAdapter):
    """People are never linked to an existing account by e-mail address: whoever can choose an address could take it over."""

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        roles = self._roles(sociallogin)
        user.groups.set(Group.objects.filter(name__in=roles))
        record(actor=None, action="person.create", target=user, after={"roles": sorted(roles)}, reason="first sign-in by OpenID Connect")
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Where the issuer says who is what, each sign-in brings the roles up to date."""
        if not sociallogin.is_existing or not settings.OIDC_ROLES_CLAIM:
            return
        user, roles = sociallogin.user, self._roles(sociallogin)
        before = set(user.groups.filter(name__in=ROLES).values_list("name", flat=True))
        if before != roles:
            user.groups.set(Group.objects.filter(name__in=roles))
            record(actor=None, action="person.change", target=user, before={"roles": sorted(before)}, after={"roles": sorted(roles)}, reason="OpenID Connect")

    def _roles(self, sociallogin: Any) -> set[str]:
        data = sociallogin.account.extra_data
        claims = {**data.get("id_token", {}), **data.get("userinfo", {}), **data}
        named = claims.get(settings.OIDC_ROLES_CLAIM, []) if settings.OIDC_ROLES_CLAIM else []
        roles = set(ROLES) & set([named] if isinstance(named, str) else named)
        return roles or ({settings.OIDC_DEFAULT_ROLE} if settings.OIDC_DEFAULT_ROLE in ROLES else set())
