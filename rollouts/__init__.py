"""Scenarios, start frames and rollouts; `worlds` and `dreams` in here know nothing of Django."""

import os
import sys

# MuJoCo chooses its renderer once, when it is first imported: EGL needs no display and renders in software where there is no GPU.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")
