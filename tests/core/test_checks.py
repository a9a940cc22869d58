"""What `up` refuses before it starts anything that depends on it."""

import pytest
from django.db import connection

from config.env import OperatorProblem
from core.supervisor import checks


@pytest.mark.django_db(transaction=True)
def test_it_refuses_the_database_of_a_newer_version():
    checks.check_history()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('core', '9999_from_the_future', now())")
    try:
        with pytest.raises(OperatorProblem, match=r"newer version of Dreamfork \(this one does not know core.9999_from_the_future\)"):
            checks.check_history()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_from_the_future'")


def test_it_says_that_the_broker_is_not_there(settings):
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    with pytest.raises(OperatorProblem, match=r"^REDIS_URL cannot be reached: .*Start it, or put the address right\.$"):
        checks.check_broker()


@pytest.mark.django_db
def test_it_is_silent_when_all_is_there(transactional_db):
    checks.check_database()
    checks.check_broker()
