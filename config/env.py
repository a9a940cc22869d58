"""Settings come from the environment; a bad value is refused with its name and what was expected.

`NAME_FILE` may stand in for any `NAME`: the value is then the content of that file, which is how
secrets are handed to containers. Nothing in this module imports Django.
"""

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import available_timezones

PREFIX = "DREAMFORK_"

_asked_for: set[str] = set()


class OperatorProblem(Exception):
    """Something that only the person who runs Dreamfork can put right; the message is for them."""


class BadSetting(OperatorProblem):
    """A setting has a value that cannot be used. The message is one sentence."""


def text(name: str, default: str | None = None, *, choices: Sequence[str] | None = None) -> str:
    """The value of NAME, or the content of the file that NAME_FILE points to, or `default`.

    Raises:
        BadSetting: both are set, the file cannot be read, the value is not one of `choices`,
            or there is no value and no default.
    """
    _asked_for.update({name, f"{name}_FILE"})
    value, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if value is not None and file is not None:
        raise BadSetting(f"{name} and {name}_FILE are both set; expected one of them.")
    if file is not None:
        try:
            value = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"{name}_FILE={file!r} cannot be read ({error}); expected a text file.") from error
    if value is None:
        if default is None:
            raise BadSetting(f"{name} is not set; expected a value.")
        return default
    if choices is not None and value not in choices:
        raise BadSetting(f"{name}={value!r} is not known; expected one of {', '.join(choices)}.")
    return value


def flag(name: str, default: bool) -> bool:
    """A yes or no: 1/0, true/false, yes/no, on/off."""
    value = text(name, "true" if default else "false").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(f"{name}={value!r} is not a yes or no; expected true or false.")


def number(name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number in [low, high]."""
    value = text(name, str(default))
    span = f"a whole number{'' if low is None else f' of at least {low}'}{'' if high is None else f' and at most {high}'}"
    try:
        parsed = int(value)
    except ValueError:
        raise BadSetting(f"{name}={value!r} is not a number; expected {span}.") from None
    if (low is not None and parsed < low) or (high is not None and parsed > high):
        raise BadSetting(f"{name}={value!r} is out of range; expected {span}.")
    return parsed


def words(name: str, default: Sequence[str] = ()) -> list[str]:
    """A list separated by commas; empty entries are dropped."""
    return [word.strip() for word in text(name, ",".join(default)).split(",") if word.strip()]


def url(name: str, default: str, *, schemes: Sequence[str]) -> str:
    """An address with one of `schemes`; an empty default means that the setting may be left out."""
    value = text(name, default)
    if value == default == "":
        return ""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in schemes and (parts.scheme not in ("http", "https") or (bool(parts.hostname) and parts.port != 0))
    except ValueError:  # a port that is no number, a bracket that does not close
        usable = False
    if not usable:
        # The value may hold a password: it is not repeated in the message.
        raise BadSetting(f"{name} is not an address that can be used; expected {' or '.join(f'{s}://...' for s in schemes)}.")
    return value


def rate(name: str, default: str) -> str:
    """So many a second, minute, hour or day: `1200/min`."""
    value = text(name, default)
    if not re.fullmatch(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)", value):
        raise BadSetting(f"{name}={value!r} is not a rate; expected for example 1200/min.")
    return value


def time_zone(name: str, default: str) -> str:
    """A name of the tz database."""
    value = text(name, default)
    if value not in available_timezones():
        close = get_close_matches(value, available_timezones(), n=1)
        raise BadSetting(f"{name}={value!r} is not a time zone; expected a name like {close[0] if close else 'Europe/Berlin'}.")
    return value


def database(name: str, default: str) -> dict[str, object]:
    """DATABASE_URL as Django's dictionary.

    `postgresql://user:password@host:5432/name?sslmode=require`; a socket directory goes in
    `?host=/directory`. Options that libpq knows pass through.
    """
    parts = urlsplit(url(name, default, schemes=("postgres", "postgresql")))
    options = dict(parse_qsl(parts.query))
    database_name = unquote(parts.path.lstrip("/"))
    if not database_name:
        raise BadSetting(f"{name} names no database; expected postgresql://user:password@host:5432/name.")
    try:
        port = parts.port
    except ValueError:
        raise BadSetting(f"{name} has a port that is not a number; expected postgresql://user:password@host:5432/name.") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": options.pop("port", str(port or "")),
        "OPTIONS": {"connect_timeout": 10, **options},
    }


def refuse_unknown() -> None:
    """A misspelt setting is worse than a missing one: nobody notices. Called at the end of settings.py.

    Raises:
        BadSetting: the environment has a DREAMFORK_ name that nothing asked for.
    """
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in _asked_for:
            close = get_close_matches(name, _asked_for, n=1)
            raise BadSetting(f"{name} is not a setting of Dreamfork{f'; did you mean {close[0]}?' if close else '.'}")
