"""The example of docs/worlds.md: a whole world in thirty lines."""

import gymnasium
import numpy as np


class DotWorld(gymnasium.Env):
    """A robot dot walks to a goal dot on a 2 x 2 m floor. Action: velocity x, y in m/s, then three that it ignores."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 3}

    def __init__(self, size: int = 64):
        self.size = size
        self.action_space = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.prompt = (options or {}).get("prompt", "go to the dot")
        self.robot, self.goal = self.np_random.uniform(-0.9, 0.9, (2, 2))
        self.steps = 0
        return self.robot.astype(np.float32), self._info()

    def step(self, action):
        self.robot = np.clip(self.robot + np.asarray(action)[:2] / 3, -1, 1)
        self.steps += 1
        info = self._info()
        return self.robot.astype(np.float32), float(info["success"]), info["success"], self.steps >= 36, info

    def _info(self):
        return {"prompt": self.prompt, "success": bool(np.hypot(*(self.goal - self.robot)) < 0.15)}

    def towards(self):
        return np.array([*np.clip(self.goal - self.robot, -1, 1), 0, 0, 0], np.float32)

    def render(self):
        frame = np.full((self.size, self.size, 3), 220, np.uint8)
        for (x, y), colour in ((self.goal, (200, 30, 30)), (self.robot, (30, 60, 200))):
            column, row = ((np.array([x, -y]) + 1) / 2 * (self.size - 5)).astype(int)
            frame[row : row + 5, column : column + 5] = colour
        return frame
