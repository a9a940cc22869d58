"""What a few hundred choices can teach for sure: how certain a score is, how often people slip, what a touch and standing still count."""

import pytest
import torch

from rollouts.dreams.geometry import GEOMETRY, NEAREST, PLACE_AND_ARMS
from rollouts.dreams.value_head import HARM, STILL, ValueHead, facts
from training.learn.adjustment import Calibration, adjust, fit_calibration
from training.learn.bradley_terry import expected_calibration_error
from training.learn.value_refresh import Features, Judged, ValueHeadSettings, evidence, fit, judge, scores

WIDTH, FRAMES, CLIPS = 32, 4, 80


def blind_head() -> ValueHead:
    """Its score is the same whatever it is shown."""
    torch.manual_seed(0)
    head = ValueHead(width=WIDTH, layer=0, geometric=True).eval()
    torch.nn.init.zeros_(head.score.weight)
    return head


def measured(nearest: torch.Tensor, walked: torch.Tensor) -> torch.Tensor:
    """Tokens [1, N, FRAMES, ...] of clips that come so near to the dog and walk so far; nothing else is known of them."""
    clip = torch.zeros(1, len(nearest), FRAMES, WIDTH + GEOMETRY)
    clip[..., WIDTH + NEAREST] = nearest[:, None]
    clip[..., WIDTH + PLACE_AND_ARMS[0]] = walked[:, None] * torch.linspace(0, 1, FRAMES)
    return clip


def dog_lovers(slips: int = 0):
    """Clips of which one in two touches the dog, and choices of those who mind it; every clip's twin stands still, far from the dog."""
    g = torch.Generator().manual_seed(2)
    nearest = torch.where(torch.arange(CLIPS) % 2 == 0, 0.5, -0.1) + 0.02 * torch.randn(CLIPS, generator=g)
    features = Features(measured(nearest, torch.full((CLIPS,), 1.0)), measured(torch.full((CLIPS,), 0.5), torch.zeros(CLIPS)))
    rows = []
    for i in range(0, CLIPS, 2):
        answer = "b" if i < 2 * slips else "a"
        rows.append({"a": i, "b": i + 1, "answer": answer, "weight": 1.0, "success_a": None, "success_b": None, "group": str(i)})
    return features, rows


def test_what_is_plain_to_see_is_read_from_geometry():
    still, walks, touches = facts(measured(torch.tensor([0.5, 0.5, -0.5]), torch.tensor([0.0, 1.0, 1.0]))[0][..., WIDTH:])
    assert (float(still[HARM]), float(still[STILL])) == pytest.approx((0, 1), abs=1e-3)
    assert (float(walks[HARM]), float(walks[STILL])) == pytest.approx((0, 0), abs=1e-3)
    assert float(touches[HARM]) == pytest.approx(1, abs=1e-3)
    half = measured(torch.tensor([0.5]), torch.tensor([1.0]))
    half[0, 0, FRAMES // 2 :, WIDTH + NEAREST] = -0.5
    assert float(facts(half[0][..., WIDTH:])[0, HARM]) == pytest.approx(0.5, abs=1e-3)


def test_raising_an_arm_is_not_standing_still():
    clip = measured(torch.tensor([0.5]), torch.tensor([0.0]))
    clip[..., WIDTH + PLACE_AND_ARMS[3]] = torch.linspace(0, 0.8, FRAMES)
    assert float(facts(clip[0][..., WIDTH:])[0, STILL]) < 0.01


def test_a_head_that_can_be_adjusted_says_the_same_until_it_is():
    torch.manual_seed(0)
    head = ValueHead(width=WIDTH, layer=0, geometric=True).eval()
    grown = head.adjustable().eval()
    tokens = torch.randn(5, FRAMES, WIDTH + GEOMETRY)
    for before, after in zip(head(tokens), grown(tokens), strict=True):
        torch.testing.assert_close(before, after)
    with torch.no_grad():
        grown.adjustment[HARM] = 2.0
    torch.testing.assert_close(grown(tokens)[1] - head(tokens)[1], 2 * facts(tokens[..., WIDTH:])[:, HARM])
    torch.testing.assert_close(grown.adjustable()(tokens)[1], grown(tokens)[1])
    score = grown(tokens)[1]
    grown.rescale(0.5)
    torch.testing.assert_close(grown(tokens)[1], 0.5 * score)


def test_heads_without_geometry_can_not_be_adjusted():
    with pytest.raises(ValueError, match="reads no geometry"):
        ValueHead(width=WIDTH, layer=0, adjusted=True)
    plain = ValueHead(width=WIDTH, layer=0).eval()
    features, rows = dog_lovers()
    with pytest.raises(ValueError, match="can not be adjusted"):
        adjust(plain, *evidence(blind_head(), features, rows))


def test_that_people_mind_a_touch_is_learned_though_the_head_is_held():
    head = blind_head().adjustable()
    features, rows = dog_lovers(slips=2)
    fit(head, features, rows, ValueHeadSettings(steps=5, pull=1e9))
    assert head.adjustment[HARM] < -1
    judged = Judged()
    judge(head.eval(), features, rows, judged)
    assert judged.report(calibrated=False)["pair_accuracy"]["value"] == 1 - 2 / len(rows)


def test_a_frozen_clip_does_not_win_though_the_head_prefers_it():
    """A frozen twin never touches the dog, so a score that minds touches is for it; chosen clips must win nevertheless."""
    features, rows = dog_lovers(slips=10)  # ten times the clip that touches the dog was chosen
    head = blind_head().adjustable()
    adjust(head, *evidence(head, features, rows))
    judged = Judged()
    judge(head, features, rows, judged)
    assert judged.report(calibrated=False)["beats_frozen"]["value"] == 1
    with torch.no_grad():
        head.adjustment[STILL] = 0
    without = Judged()
    judge(head, features, rows, without)
    assert without.report(calibrated=False)["beats_frozen"]["value"] < 1


def test_frozen_clips_do_not_change_which_of_two_moving_clips_wins():
    features, rows = dog_lovers(slips=3)
    one, two = blind_head().adjustable(), blind_head().adjustable()
    adjust(one, *evidence(one, features, rows))
    features.frozen[..., WIDTH + NEAREST] = -0.5  # other twins
    adjust(two, *evidence(two, features, rows))
    assert one.adjustment[HARM] == two.adjustment[HARM]
    assert one.adjustment[STILL] != two.adjustment[STILL]


def test_success_is_scaled_and_shifted_to_what_people_say():
    """The head is sure that nothing succeeds; people saw three of four succeed."""
    head = blind_head().adjustable()
    torch.nn.init.zeros_(head.success.weight)
    torch.nn.init.constant_(head.success.bias, -4.0)
    features, rows = dog_lovers()
    rows = [{**row, "success_a": True, "success_b": i % 2 == 0} for i, row in enumerate(rows)]
    adjust(head, *evidence(head, features, rows))
    success, _ = scores(head, features.clip)
    assert float(success.mean()) == pytest.approx(0.75, abs=0.02)


def test_few_choices_count_little_and_none_change_nothing():
    features, rows = dog_lovers()
    found = []
    for count in (0, 1, 4, 40):
        head = blind_head().adjustable()
        adjust(head, *evidence(head, features, rows[:count]))
        found.append(float(head.adjustment[HARM].detach()))
        if not count:
            assert all(torch.equal(value, head.state_dict()[name]) for name, value in blind_head().adjustable().state_dict().items())
    assert found[0] == 0
    assert 0 > found[1] > found[2] > found[3]


def test_calibration_takes_overconfidence_back():
    g = torch.Generator().manual_seed(0)
    truth = 3 * torch.randn(4000, generator=g)
    happened = (torch.rand(4000, generator=g) < truth.sigmoid()).float()
    assert fit_calibration(4 * truth, happened).scale == pytest.approx(0.25, rel=0.1)
    assert fit_calibration(truth, happened).scale == pytest.approx(1.0, rel=0.1)
    assert fit_calibration(truth, happened).lapse < 0.02
    assert fit_calibration(torch.zeros(0), torch.zeros(0)) == Calibration(1.0, 0.0)


def test_calibration_tells_slips_from_doubt():
    """One answer in ten goes the other way. A scale alone can only make every pair less sure; with a lapse both ends and the middle fit."""
    g = torch.Generator().manual_seed(1)
    margins = 3 * torch.randn(4000, generator=g)
    meant = torch.rand(4000, generator=g) < margins.sigmoid()
    happened = (meant ^ (torch.rand(4000, generator=g) < 0.1)).float()
    found = fit_calibration(margins, happened)
    assert found.lapse == pytest.approx(0.1, abs=0.02)
    assert found.scale == pytest.approx(1.0, rel=0.15)
    ece, _ = expected_calibration_error(found.probability(margins), happened)
    assert ece < 0.03
    assert min(expected_calibration_error(Calibration(scale).probability(margins), happened)[0] for scale in (0.2, 0.3, 0.4, 0.5, 0.7, 1.0)) > ece + 0.02
