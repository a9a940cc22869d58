"""What choices become before they are trained on: preferences, their masks, splits, batches and settings."""

import pytest

from tests.training.tiny import encode_text, preference_data
from training.learn.batches import draw, plan_step
from training.learn.dpo_settings import DPOSettings
from training.learn.preferences import Preference, PreferenceData, TextTable, preferences_of_answer


def test_steps_mix_new_old_and_replayed():
    plan = plan_step(DPOSettings(pairs_per_step=20, share_old=0.15, share_replay=0.15), 3, list(range(100)), [200, 201], 30)
    assert len(plan.replay) == 3
    assert sum(i >= 200 for i in plan.pairs) == 3
    assert len(plan.pairs) == 17


def test_missing_kinds_give_their_share_away():
    plan = plan_step(DPOSettings(pairs_per_step=20), 0, list(range(100)), [], 0)
    assert (len(plan.pairs), len(plan.replay)) == (20, 0)
    plan = plan_step(DPOSettings(pairs_per_step=20), 0, [], [7, 8], 0)
    assert set(plan.pairs) == {7, 8}


def test_an_epoch_shows_every_item_once():
    items = list(range(24))
    seen = [i for step in range(6) for i in draw(items, 4, step, 0, "new")]
    assert sorted(seen) == items


def test_pairs_of_one_start_frame_stay_on_one_side():
    data = preference_data(groups=6)
    data.rows = data.rows + [Preference(r.loser, r.winner, r.group) for r in data.rows]
    train_rows, held = data.split(0.3, seed=4)
    assert held
    assert not {data.rows[i].group for i in train_rows} & {data.rows[i].group for i in held}
    assert sorted(train_rows + held) == list(range(12))


def test_data_survive_disk(tmp_path):
    data = preference_data(replay=3, ties=True)
    data.rows[1] = Preference(2, 3, "frame-1", weight=0.7, segments=((1, 2),), origin="old")
    first = data.save(tmp_path / "a")
    loaded = PreferenceData.load(tmp_path / "a")
    assert loaded.rows == data.rows
    assert loaded.save(tmp_path / "b") == first
    loaded.rows[0] = Preference(1, 0, "frame-0")
    assert loaded.save(tmp_path / "c") != first


def test_it_refuses_a_preference_for_a_missing_clip(tmp_path):
    data = preference_data()
    data.rows[0] = Preference(0, 999, "frame-0")
    data.save(tmp_path)
    with pytest.raises(ValueError, match="not there"):
        PreferenceData.load(tmp_path)


def answer(answer: str, segments=(), **options) -> list[Preference]:
    return preferences_of_answer(
        a=4,
        b=7,
        answer=answer,
        group="g",
        segments=list(segments),
        frames=12,
        **options,
    )


def test_answers_become_preferences():
    assert answer("a") == [Preference(4, 7, "g")]
    assert answer("b") == [Preference(7, 4, "g")]
    assert answer("tie") == [Preference(4, 7, "g", tie=True)]
    assert answer("both_bad") == answer("cant_tell") == []


def test_strength_and_annotator_weight_multiply():
    (row,) = answer("a", strength=3, annotator_weight=0.5)
    assert row.weight == pytest.approx(0.65)
    assert answer("a", annotator_weight=0.0) == []


def test_a_segment_says_that_its_side_became_worse():
    rows = answer("a", [{"side": "a", "from": 0, "to": 3}, {"side": "b", "from": 8, "to": 12}])
    assert rows == [
        Preference(4, 7, "g", weight=0.75),
        Preference(7, 4, "g", weight=0.125, segments=((0, 2),)),
        Preference(4, 7, "g", weight=0.125, segments=((7, 11),)),
    ]


def test_segments_of_two_bad_clips_still_teach():
    assert answer("both_bad", [{"side": "b", "from": 5, "to": 5}]) == [Preference(4, 7, "g", segments=((4, 4),))]


def test_a_segment_on_the_start_frame_alone_says_nothing():
    assert answer("b", [{"side": "a", "from": 0, "to": 0}]) == [Preference(7, 4, "g")]


def test_masks_follow_segments():
    data = preference_data()
    mask = data.mask(Preference(0, 1, "g", segments=((1, 2),)))
    assert mask.tolist() == [0, 1, 1, 0]
    batch = data.batch([0, 3], TextTable(encode_text, data.prompts))
    assert batch.mask_PT.tolist() == [[1] * 4] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"beta": -1.0},
        {"share_replay": 1.0},
        {"objective": "ppo"},
        {"loser_safety": 2.0},
    ],
)
def test_it_refuses_settings_that_can_not_work(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        DPOSettings(**changes)


def test_it_refuses_unknown_settings():
    with pytest.raises(ValueError, match="betta"):
        DPOSettings.from_dict({"betta": 500})
