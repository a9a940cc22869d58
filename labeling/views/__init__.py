"""The pages of labeling."""

from django.http import HttpRequest

from core.models import User


class PersonRequest(HttpRequest):
    """A request behind `role_required`: its user is a person."""

    user: User
