from __future__ import annotations

import io
import json
import shutil
import uuid

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from core.media import blob_store
from labeling import exports, services
from labeling.exports.files import STATE, export_to_directory
from labeling.models import Choice, Comparison, Lease
from labeling.selectors import ChoiceFilter
from tests.labeling import factories
from tests.labeling.test_simulate import clip

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """An export leaves the last five seconds out; tests do not wait for them."""
    from datetime import timedelta

    monkeypatch.setattr("labeling.exports.rows.SETTLED", timedelta(seconds=-1))


@pytest.fixture
def answered(project, make_comparisons, annotator, second_annotator, answer):
    """Ten choices of two people, of every kind of answer, one with everything said."""
    make_comparisons(10, overlap=1)
    for number in range(9):
        answer((annotator, second_annotator)[number % 2], ("left", "right", "tie", "both_bad", "cant_tell")[number % 5])
    answer(
        annotator,
        "left",
        strength=3,
        criteria={"task_done": "left", "plausible": "neither", "safe": "both"},
        success_left=True,
        success_right=False,
        segments=[{"side": "right", "from": 2, "to": 12}],
        rationale="läuft um den Hund 🐕\nherum",
        response_ms=3100,
        client={"app": "test"},
    )
    return list(Choice.objects.order_by("created_at", "id"))


ALL = ChoiceFilter(answers=("a", "b", "tie", "both_bad", "cant_tell"), kinds=("normal", "gold", "repeat"))


def rows_of(where=ALL, **options) -> list[dict]:
    return [row for batch in exports.export_rows(where, until=exports.rows.settled_now(), **options) for row in batch]


def test_rows_have_every_column_and_say_what_was_chosen(answered):
    rows = rows_of()
    assert len(rows) == 10
    assert all(set(row) == set(exports.COLUMNS) for row in rows)
    assert [row["choice"] for row in rows] == [str(choice.pk) for choice in answered]
    last = rows[-1]
    letter = last["answer"].upper()
    other = "B" if letter == "A" else "A"
    assert (last["chosen"], last["rejected"], last["Overall"]) == (last[f"path_{letter}"], last[f"path_{other}"], letter)
    assert (last["TA"], last["MQ"], last["VQ"]) == (letter, "same", None)
    for row in rows:
        assert (row["chosen"] is None) == (row["answer"] not in ("a", "b"))
        assert row["annotator"].startswith("annotator-")
    assert {row["Overall"] for row in rows if row["answer"] in ("tie", "both_bad")} == {"same"}


def test_names_are_given_only_when_asked_for(answered):
    assert {row["annotator"] for row in rows_of(names=True)} == {"ann", "bea"}
    assert len({row["annotator"] for row in rows_of()}) == 2


def test_batches_and_resuming_give_the_same_rows(answered):
    whole = rows_of()
    assert rows_of(batch=3) == whole
    assert rows_of(after=uuid.UUID(whole[3]["choice"]), batch=2) == whole[4:]


def test_filters_narrow(answered, annotator):
    assert len(rows_of(ChoiceFilter())) == 9
    assert {row["answer"] for row in rows_of(ChoiceFilter(answers=("tie",)))} == {"tie"}
    assert len(rows_of(ChoiceFilter(annotators=(annotator.pk,)))) < 9
    assert rows_of(ChoiceFilter(simulated=True)) == []
    assert rows_of(ChoiceFilter(scenarios=(0,))) == []
    with pytest.raises(ValueError, match="answers"):
        ChoiceFilter(answers=("left",))


def test_excluded_and_undone_choices_are_left_out(answered, annotator, admin_person):
    services.choice_undo(annotator=annotator, choice_id=answered[-1].pk)
    assert len(rows_of()) == 9
    services.annotator_exclude(annotator=annotator, by=admin_person, from_at=answered[0].created_at, reason="test")
    assert all(row["answer"] for row in rows_of())
    assert {row["annotator"] for row in rows_of(names=True)} == {"bea"}
    marked = rows_of(ChoiceFilter(answers=ALL.answers, include_excluded=True), names=True)
    assert {(row["annotator"], row["excluded"]) for row in marked} == {("ann", True), ("bea", False)}


def test_jsonl_and_parquet_hold_the_same(answered):
    rows = rows_of()
    jsonl = b"".join(exports.jsonl_stream([rows[:4], rows[4:]])).decode().splitlines()
    assert [json.loads(line) for line in jsonl] == rows
    table = pq.read_table(io.BytesIO(b"".join(exports.parquet_stream([rows[:4], rows[4:]]))))
    assert table.to_pylist() == rows
    assert table.schema.metadata[b"dreamfork.schema_version"] == b"1"
    assert pq.read_table(io.BytesIO(b"".join(exports.parquet_stream([])))).num_rows == 0


def forget() -> None:
    """An installation that has the rollouts and not the answers (TRUNCATE is not what the append-only triggers guard)."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE labeling_choice, labeling_skip, labeling_undo, labeling_lease, labeling_comparison CASCADE")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_round_trip_changes_nothing(answered, annotator, tmp_path, kind):
    Choice.objects.filter(pk=answered[-1].pk)
    export_to_directory(tmp_path / "out", ALL, formats=(kind,))
    before = rows_of()
    forget()
    counts = exports.choices_import(exports.rows_read(tmp_path / "out"))
    assert (counts["imported"], counts["already_here"], counts["comparisons"]) == (10, 0, 10)
    after = rows_of()
    ids = ("comparison",)
    assert [{k: v for k, v in row.items() if k not in ids} for row in after] == [{k: v for k, v in row.items() if k not in ids} for row in before]
    assert not Comparison.objects.exclude(state="done").exists()
    again = exports.choices_import(exports.rows_read(tmp_path / "out"))
    assert (again["imported"], again["already_here"]) == (0, 10)


def test_repeats_come_back_as_repeats(project, make_comparisons, annotator, answer, tmp_path):
    from tests.labeling.test_queue import Draws

    project.repeat_share, project.repeat_after = 0.9, 0
    project.save()
    make_comparisons(2)
    answer(annotator, lease=services.leases_next(annotator=annotator, rng=Draws(0.95)).leases[0])
    answer(annotator, lease=services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0])
    export_to_directory(tmp_path / "out", ALL)
    forget()
    exports.choices_import(exports.rows_read(tmp_path / "out"))
    repeat = Comparison.objects.get(kind="repeat")
    assert repeat.only_for == Choice.objects.get(comparison=repeat).annotator
    assert repeat.repeat_of.kind == "normal"


def test_import_is_all_or_nothing(answered, tmp_path):
    rows = rows_of()
    forget()
    rows[5]["sprite_sha256_B"] = "0" * 64
    with pytest.raises(exports.ImportProblem, match="Row 6: this installation does not have rollout B"):
        exports.choices_import(rows)
    assert not Choice.objects.exists()
    with pytest.raises(exports.ImportProblem, match="schema version 99"):
        exports.choices_import([{**rows[0], "schema_version": 99}])
    with pytest.raises(exports.ImportProblem, match="missing"):
        exports.choices_import([{"choice": "x"}])


def test_an_interrupted_export_goes_on_where_it_was(answered, tmp_path, monkeypatch):
    export_to_directory(tmp_path / "whole", ALL, part_rows=3)
    written = 0

    def fail(done: int, total: int) -> None:
        nonlocal written
        written = done
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_to_directory(tmp_path / "cut", ALL, part_rows=3, progress=fail)
    # Half a line that was being written when it ended.
    with (tmp_path / "cut" / "choices.jsonl").open("ab") as file:
        file.write(b'{"prompt": "go to')
    with pytest.raises(exports.files.ExportExists, match="--resume"):
        export_to_directory(tmp_path / "cut", ALL)
    with pytest.raises(exports.files.ExportExists, match="other settings"):
        export_to_directory(tmp_path / "cut", ChoiceFilter(), resume=True)
    result = export_to_directory(tmp_path / "cut", ALL, part_rows=3, resume=True)
    assert result["rows"] == 10
    assert json.loads((tmp_path / "cut" / STATE).read_text())["finished"]
    whole = list(exports.rows_read(tmp_path / "whole"))
    assert list(exports.rows_read(tmp_path / "cut")) == whole
    assert (tmp_path / "cut" / "choices.jsonl").read_bytes() == (tmp_path / "whole" / "choices.jsonl").read_bytes()
    assert len(list((tmp_path / "cut").glob("*.parquet"))) == 4


def test_the_command_writes_files_a_card_and_videos(project, annotator, answer, tmp_path, capsys):
    frame, version = factories.start_frame(), factories.policy_version()
    for row in (3, 9):
        factories.rollouts(1, frame=frame, version=version, sprite=blob_store(clip(row), "image/png"), width=24, height=24)
    services.comparisons_make_ahead(count=1, strategy="uniform")
    choice = answer(annotator)
    call_command("export", str(tmp_path / "out"), "--media", "--source", "people")
    assert "1 choices" in capsys.readouterr().out
    (row,) = exports.rows_read(tmp_path / "out")
    assert row["choice"] == str(choice.pk)
    for column in ("chosen", "rejected", "path_A", "path_B"):
        video = (tmp_path / "out" / row[column]).read_bytes()
        assert video[4:8] == b"ftyp"
    import imageio_ffmpeg

    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "out" / row["chosen"]))
    assert frames == 13
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| Choices | 1 |" in card
    assert "| By simulated annotators | 0 of 1 |" in card
    with pytest.raises(CommandError, match="scenario"):
        call_command("export", str(tmp_path / "other"), "--scenario", "no-such")
    with pytest.raises(CommandError, match="does not exist"):
        call_command("import_choices", str(tmp_path / "nothing"))
    shutil.rmtree(tmp_path / "out")


def test_the_page_counts_and_links(researcher_client, annotator_client, answered):
    page = researcher_client.get(reverse("labeling:exports"))
    assert "9 choices" in page.content.decode()
    assert researcher_client.get(reverse("labeling:exports"), {"answer": "nonsense"}).status_code == 422
    assert annotator_client.get(reverse("labeling:exports")).status_code == 403


def test_the_api_streams_resumes_and_refuses(researcher_client, annotator_client, answered):
    url = reverse("labeling_api:export")
    whole = researcher_client.get(url, {"as": "jsonl"})
    lines = b"".join(whole.streaming_content).splitlines()
    assert len(lines) == 9
    assert whole.headers["Content-Type"] == "application/x-ndjson"
    rest = researcher_client.get(url, {"after": json.loads(lines[3])["choice"], "end": whole.headers["X-Export-Until"]})
    assert b"".join(rest.streaming_content).splitlines() == lines[4:]
    table = pq.read_table(io.BytesIO(b"".join(researcher_client.get(url, {"as": "parquet", "answer": ["a", "b"]}).streaming_content)))
    # Which of a and b a "left" was depends on how the sides were drawn.
    decided = [answer for answer in (json.loads(line)["answer"] for line in lines) if answer in ("a", "b")]
    assert decided
    assert sorted(table["answer"].to_pylist()) == sorted(decided)
    for query in ({"as": "csv"}, {"after": "x"}, {"after": str(uuid.uuid4())}, {"end": "yesterday"}, {"source": "cats"}):
        assert researcher_client.get(url, query).status_code == 400
    assert annotator_client.get(url).status_code == 403
    card = researcher_client.get(reverse("labeling_api:card"))
    assert "| Choices | 9 |" in card.content.decode()
    assert not Lease.objects.filter(state="active").exists()
