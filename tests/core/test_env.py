"""Settings from the environment: what is taken, and the sentence with which the rest is refused."""

import pytest

from config import env


@pytest.fixture
def variables(monkeypatch):
    def set_(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_


def test_it_reads_a_secret_from_a_file(variables, tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    variables(T_KEY_FILE=str(tmp_path / "key"))
    assert env.text("T_KEY") == "s3cret"


@pytest.mark.parametrize(
    ("values", "read", "sentence"),
    [
        ({}, lambda: env.text("T_X"), "T_X is not set; expected a value."),
        ({"T_X": "a", "T_X_FILE": "b"}, lambda: env.text("T_X"), "T_X and T_X_FILE are both set; expected one of them."),
        ({"T_X_FILE": "/nowhere"}, lambda: env.text("T_X"), "T_X_FILE='/nowhere' cannot be read"),
        ({"T_X": "c"}, lambda: env.text("T_X", choices=("a", "b")), "T_X='c' is not known; expected one of a, b."),
        ({"T_X": "perhaps"}, lambda: env.flag("T_X", True), "T_X='perhaps' is not a yes or no; expected true or false."),
        ({"T_X": "ten"}, lambda: env.number("T_X", 1), "T_X='ten' is not a number; expected a whole number."),
        ({"T_X": "0"}, lambda: env.number("T_X", 5, low=1, high=9), "T_X='0' is out of range; expected a whole number of at least 1 and at most 9."),
        ({"T_X": "ftp://x"}, lambda: env.url("T_X", "", schemes=("http", "https")), "expected http://... or https://..."),
        ({"T_X": "https://"}, lambda: env.url("T_X", "", schemes=("http", "https")), "expected http://... or https://..."),
        ({"T_X": "https://a:b"}, lambda: env.url("T_X", "", schemes=("http", "https")), "expected http://... or https://..."),
        ({"T_X": "redis://[::1"}, lambda: env.url("T_X", "", schemes=("redis",)), "expected redis://..."),
        ({"T_X": "lots"}, lambda: env.rate("T_X", "1/s"), "T_X='lots' is not a rate; expected for example 1200/min."),
        ({"T_X": "0/min"}, lambda: env.rate("T_X", "1/s"), "T_X='0/min' is not a rate"),
        ({"T_X": "Europe/Berlni"}, lambda: env.time_zone("T_X", "UTC"), "T_X='Europe/Berlni' is not a time zone; expected a name like Europe/Berlin."),
        ({"T_X": "postgresql://h"}, lambda: env.database("T_X", ""), "T_X names no database"),
        ({"T_X": "postgresql://h:port/d"}, lambda: env.database("T_X", ""), "T_X has a port that is not a number"),
    ],
)
def test_it_refuses_with_the_name_and_what_was_expected(variables, values, read, sentence):
    variables(**values)
    with pytest.raises(env.BadSetting) as problem:
        read()
    assert sentence in str(problem.value)


def test_a_refused_address_keeps_its_password_to_itself(variables):
    variables(T_X="mysql://root:hunter2@db/x")
    with pytest.raises(env.BadSetting) as problem:
        env.database("T_X", "")
    assert "hunter2" not in str(problem.value)


def test_it_reads_a_database_address(variables):
    variables(T_X="postgresql://me:p%40ss@db.lan:5433/dreams?sslmode=require&host=/run/pg")
    found = env.database("T_X", "")
    assert {key: found[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
        "NAME": "dreams",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "/run/pg",
        "PORT": "5433",
    }
    assert found["OPTIONS"] == {"connect_timeout": 10, "sslmode": "require"}


def test_it_reads_lists_and_flags(variables):
    variables(T_L="a, b,,c ", T_F="Yes")
    assert env.words("T_L") == ["a", "b", "c"]
    assert env.flag("T_F", False) is True
