from dataclasses import replace

import pytest
import torch

from rollouts.dreams.transformer import TransformerConfig, VideoTransformer
from rollouts.dreams.value_head import ValueHead
from training.learn.preferences import PreferenceData, TextTable
from training.learn.value_refresh import ValueHeadSettings, fold_of, refresh

CONFIG = TransformerConfig(frames=4, patch=2, channels=2, grid=4, width=32, layers=2, heads=2, text_width=6, text_tokens=8, start_channels=2, start_grid=4)


class Motion:
    """Latents that are their own pictures."""

    def still(self, start):
        return start[:, None].expand(-1, 4, -1, -1, -1)

    def seen(self, codes, start):
        return codes


def encode_text(prompts):
    states = torch.randn(len(prompts), 3, 6, generator=torch.Generator().manual_seed(1))
    return states, torch.ones(len(prompts), 3, dtype=torch.bool)


def judged_data(groups=24):
    """Clips that move right are liked, clips that stand nearly still are not; the mover also succeeds."""
    g = torch.Generator().manual_seed(0)
    latents, starts, judgements = [], [], []
    for group in range(groups):
        start = torch.randn(2, 4, 4, generator=g)
        for sign in (1.0, 0.02):
            ramp = torch.arange(1, 5).view(4, 1, 1, 1) * sign
            latents.append(start[None] + ramp * torch.ones(4, 2, 4, 4) + 0.05 * torch.randn(4, 2, 4, 4, generator=g))
            starts.append(start)
        answer = "tie" if group % 8 == 7 else ("a" if group % 2 else "b")
        a, b = (2 * group, 2 * group + 1) if answer != "b" else (2 * group + 1, 2 * group)
        judgements.append(
            {
                "a": a,
                "b": b,
                "answer": answer,
                "weight": 1.0,
                "group": str(group),
                "success_a": a % 2 == 0,
                "success_b": b % 2 == 0,
            }
        )
    data = PreferenceData(torch.stack(latents), torch.stack(starts), ["go"] * (2 * groups), [], judgements=judgements)
    return data, TextTable(encode_text, data.prompts)


def parts():
    torch.manual_seed(0)
    network = VideoTransformer(CONFIG).eval()
    torch.nn.init.normal_(network.time_modulation.weight, std=0.05)
    return ValueHead(width=32, layer=1).eval(), network


SETTINGS = ValueHeadSettings(steps=60, batch=16, learning_rate=3e-3, pull=0.0, folds=3, noise_draws=2)


def test_the_refreshed_head_agrees_with_held_out_choices_and_is_better_than_before():
    head, network = parts()
    data, text = judged_data()
    _, report = refresh(head, network, data, text, SETTINGS, Motion())
    after = report["after"]
    assert after["pairs"] == 21
    assert after["pair_accuracy"]["value"] > 0.9
    assert after["pair_accuracy"]["value"] > report["before"]["pair_accuracy"]["value"]
    assert after["success_accuracy"]["value"] > 0.8
    assert sum(row["n"] for row in after["reliability"]) == 21


def test_the_head_of_a_loaded_policy_which_is_frozen_learns_as_well():
    head, network = parts()
    data, text = judged_data()
    _, report = refresh(head.requires_grad_(False), network, data, text, SETTINGS, Motion())
    assert report["after"]["pair_accuracy"]["value"] > 0.9


def test_the_old_head_is_left_alone_and_the_result_repeats():
    head, network = parts()
    data, text = judged_data()
    kept = {name: value.clone() for name, value in head.state_dict().items()}
    one, _ = refresh(head, network, data, text, SETTINGS, Motion())
    two, _ = refresh(head, network, data, text, SETTINGS, Motion())
    for name, value in head.state_dict().items():
        torch.testing.assert_close(value, kept[name])
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, two.state_dict()[name], rtol=0, atol=0)


def test_few_choices_are_held_to_the_parent_and_many_are_heard():
    head, network = parts()
    data, text = judged_data()

    def moved(settings):
        new, _ = refresh(head, network, data, text, settings, Motion())
        return sum(float((new.state_dict()[name] - value).square().sum()) for name, value in head.state_dict().items() if not name.startswith("score"))

    free, held = moved(SETTINGS), moved(replace(SETTINGS, pull=1000.0))
    assert held < 0.1 * free
    data.judgements = data.judgements * 20
    assert moved(replace(SETTINGS, pull=1000.0)) > 2 * held


def test_a_negative_pull_is_refused():
    with pytest.raises(ValueError, match="pull must not be negative, got -1"):
        ValueHeadSettings.from_dict({"pull": -1})


def test_pairs_of_one_start_frame_share_a_fold():
    assert {fold_of("7", 5, 0) for _ in range(3)} == {fold_of("7", 5, 0)}
    assert {fold_of(str(i), 5, 0) for i in range(60)} == {0, 1, 2, 3, 4}


def test_a_head_without_choices_is_unchanged():
    head, network = parts()
    data, text = judged_data()
    data.judgements = []
    new, report = refresh(head, network, data, text, SETTINGS, Motion())
    assert report["after"]["pair_accuracy"] is None
    for name, value in head.state_dict().items():
        torch.testing.assert_close(value, new.state_dict()[name])
