"""Pictures of clips."""

import numpy as np
import pytest

from rollouts.images import strip


@pytest.mark.parametrize(
    ("frames", "pictures", "shown"), [(25, 5, [0, 6, 12, 18, 24]), (13, 5, [0, 3, 6, 9, 12]), (20, 5, [0, 5, 10, 14, 19]), (3, 5, [0, 1, 2]), (1, 2, [0])]
)
def test_a_strip_shows_a_clip_from_beginning_to_end_whatever_its_length(frames, pictures, shown):
    clip = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, 4, 6, 3))
    found = strip(clip, pictures)
    assert found.shape == (4, 6 * len(shown), 3)
    assert found[0, ::6, 0].tolist() == shown
