"""Sessions for pages, tokens for programs."""

from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions

from core.models import User
from core.people import api_token_user

_KEYWORDS = ("token", "bearer")


class SessionAuthentication(authentication.SessionAuthentication):
    """As DRF's, but a missing session is 401 (sign in again and nothing is lost), not 403."""

    def authenticate_header(self, request: HttpRequest) -> str:
        return "Session"


def token_user(request: HttpRequest) -> User | None:
    """The person whose API token came with the request, if any."""
    keyword, _, secret = request.headers.get("Authorization", "").partition(" ")
    return api_token_user(secret=secret.strip()) if keyword.lower() in _KEYWORDS else None


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Token df_...`; tokens are made on the account page."""

    def authenticate(self, request: HttpRequest) -> tuple[User, None] | None:
        if request.headers.get("Authorization", "").partition(" ")[0].lower() not in _KEYWORDS:
            return None
        user = token_user(request)
        if user is None:
            raise exceptions.AuthenticationFailed("This token is unknown or revoked.")
        return user, None

    def authenticate_header(self, request: HttpRequest) -> str:
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token from the account page: `Authorization: Token df_...` or `Bearer df_...`."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
