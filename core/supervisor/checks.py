"""What can be known to fail before anything depends on it, each said in one sentence."""

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from kombu import Connection

from config.env import OperatorProblem

_PATIENCE_S = 5


def check_database() -> None:
    """
    Raises:
        OperatorProblem: the database of DATABASE_URL cannot be reached, or is too old.
    """
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise OperatorProblem(f"The database of DATABASE_URL cannot be used: {_first_line(error)}. Start it, or put the address right.") from error
    finally:
        connection.close()


def check_broker() -> None:
    """
    Raises:
        OperatorProblem: REDIS_URL or CELERY_BROKER_URL cannot be reached.
    """
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        raise OperatorProblem(f"REDIS_URL cannot be reached: {_first_line(error)}. Start it, or put the address right.") from error
    try:
        with Connection(settings.CELERY_BROKER_URL, connect_timeout=_PATIENCE_S) as broker:
            broker.connect()
    except Exception as error:  # each of kombu's transports has exceptions of its own
        raise OperatorProblem(f"CELERY_BROKER_URL cannot be reached: {_first_line(error)}. Start it, or put the address right.") from error


def check_history() -> None:
    """
    Raises:
        OperatorProblem: a newer Dreamfork has changed the tables in ways that this one does not know.
    """
    try:
        loader = MigrationLoader(connection)
        ours = loader.migrated_apps
        unknown = sorted(".".join(one) for one in loader.applied_migrations or () if one[0] in ours and one not in (loader.disk_migrations or ()))
    finally:
        connection.close()
    if unknown:
        raise OperatorProblem(
            f"The database was made by a newer version of Dreamfork (this one does not know {', '.join(unknown[:3])}). "
            "Use that version, or set DREAMFORK_HOME to another directory."
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
