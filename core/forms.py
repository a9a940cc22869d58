"""Forms of people and tokens."""

from typing import Any

from django import forms
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError

from core.models import User
from core.roles import ROLES


class TokenForm(forms.Form):
    name = forms.CharField(max_length=100, label="Name", help_text="What it is for, so that you know which one to revoke.")


class PersonForm(forms.Form):
    """A new person, or (with `person`) one who is here already."""

    username = forms.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    name = forms.CharField(max_length=150, required=False, label="Name")
    roles = forms.MultipleChoiceField(choices=[(role, role.capitalize()) for role in ROLES], widget=forms.CheckboxSelectMultiple, required=False, label="Roles")
    active = forms.BooleanField(required=False, initial=True, label="May sign in")

    def __init__(self, *args: Any, person: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        same = User.objects.filter(username__iexact=username)
        if self.person is not None:
            same = same.exclude(pk=self.person.pk)
        if same.exists():
            raise ValidationError("Someone here has this name already.")
        return username
