"""The household world as a Gymnasium environment: one episode of one robot, one prompt, one room.

Action (float32, shape [5]): target velocity vx, vy in world axes [m/s, clipped to +-MAX_SPEED], left and right arm
(0 hangs .. 1 points up), gripper (> 0.5 holds). It is applied for one control step of 1/3 s.
Observation (float32, shape [8]): robot x, y [m], sin and cos of its heading, left and right arm (0..1), gripper (0/1),
1 if something is held. Frames come from `render()`: uint8 [H, W, 3].
"""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np

from . import layout as layouts
from .factors import COLOURS, DOG_COATS, FLOORS, MAX_CLUTTER, MAX_OBJECTS, WALLS, HouseholdFactors
from .scene import MAT_HALF, OBJECT_SIZE, TIMESTEP, build_spec
from .tasks import Task, parse, say

CONTROL_HZ = 3
MAX_SPEED = 0.75
GO_RADIUS = 0.66
GRASP_RADIUS = 0.36
GRIPPER_REACH = 0.46
SUBSTEPS = round(1 / CONTROL_HZ / TIMESTEP)
CONTACT_EVERY = 3
_FAR = 12.0
_LOWEST = np.array([-MAX_SPEED, -MAX_SPEED, 0, 0, 0], np.float32)
_HIGHEST = np.array([MAX_SPEED, MAX_SPEED, 1, 1, 1], np.float32)


class HouseholdEnv(gymnasium.Env):
    """See the module. `options` of `reset`: `prompt` (str), `factors` (dict, see HouseholdFactors), `heldout` (bool).

    `info` has: success, dog_contact (so far), clean_success, prompt, task, factors, and `state`: what experts need, in
    metres: robot [x, y, yaw], objects {name: [x, y, z]}, dog [x, y, yaw] or None, clutter [[x, y]], mat [x, y], held.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}

    def __init__(self, render_mode: str | None = "rgb_array", width: int = 64, height: int = 64, max_seconds: float = 12.0):
        self.render_mode = render_mode
        self.width, self.height = width, height
        self.max_steps = int(max_seconds * CONTROL_HZ)
        self.action_space = gymnasium.spaces.Box(_LOWEST, _HIGHEST)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.model = build_spec().compile()
        self.data = mujoco.MjData(self.model)
        self._names = _Names(self.model)
        self._renderer: mujoco.Renderer | None = None
        self._base_lights = self.model.light_diffuse.copy(), self.model.vis.headlight.ambient.copy(), self.model.vis.headlight.diffuse.copy()

    # ------------------------------------------------------------------ Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Raises ValueError for a prompt or a factor that this world does not have."""
        super().reset(seed=seed)
        options = options or {}
        wanted = HouseholdFactors.from_dict(options.get("factors") or {})
        task = parse(options["prompt"]) if options.get("prompt") else None
        self.layout = layouts.sample(self.np_random, wanted, task)
        self.task: Task = self.layout.task
        self.prompt = options.get("prompt") or say(self.task, self.np_random, heldout=bool(options.get("heldout")))
        self._place(self.layout)
        self.steps = 0
        self.success = self.dog_contact = False
        self.held: int | None = None
        self._arm_history: list[tuple[float, float]] = []
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        action = np.clip(np.asarray(action, np.float64), _LOWEST, _HIGHEST)
        self._drive(action)
        touched = False
        for _ in range(0, SUBSTEPS, CONTACT_EVERY):
            self._walk_dog()
            mujoco.mj_step(self.model, self.data, CONTACT_EVERY)
            touched |= self._touches_dog()
        self._grip(action[4] > 0.5)
        self.dog_contact |= touched
        self.steps += 1
        self._arm_history.append(self._arms())
        self.success |= self._succeeds()
        info = self._info()
        reward = float(self.success and not self.dog_contact)
        return self._observe(), reward, self.success, self.steps >= self.max_steps, info

    def render(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        if self._renderer is None:
            # As much memory as the picture needs: dozens of worlds are played side by side.
            self.model.vis.global_.offheight, self.model.vis.global_.offwidth = 2 * self.height, 2 * self.width
            self._renderer = mujoco.Renderer(self.model, 2 * self.height, 2 * self.width)
        self._renderer.update_scene(self.data, "room")
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False  # 20 times slower in software, and nothing here needs it
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        large = self._renderer.render().astype(np.uint16)
        return ((large[::2, ::2] + large[1::2, ::2] + large[::2, 1::2] + large[1::2, 1::2] + 2) // 4).astype(np.uint8)

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # ------------------------------------------------------------------ state

    def state(self) -> dict:
        q, names = self.data.qpos, self._names
        objects = {}
        for slot, name in enumerate(self.layout.objects):
            x, y, z = (q[names.joint[f"object{slot}_{axis}"]] for axis in "xyz")
            objects[name] = [float(x), float(y), float(z)]
        dog = None
        if self.layout.factors.dog != "absent":
            dog = [float(q[names.joint[f"dog_{axis}"]]) for axis in ("x", "y", "yaw")]
        return {
            "robot": [float(q[names.joint[f"robot_{axis}"]]) for axis in ("x", "y", "yaw")],
            "arms": list(self._arms()),
            "objects": objects,
            "dog": dog,
            "clutter": [[float(q[names.joint[f"clutter{i}_{axis}"]]) for axis in "xy"] for i in range(len(self.layout.clutter))],
            "mat": [float(v) for v in self.layout.mat],
            "held": None if self.held is None else self.layout.objects[self.held],
        }

    def _info(self) -> dict:
        return {
            "success": bool(self.success),
            "dog_contact": bool(self.dog_contact),
            "clean_success": bool(self.success and not self.dog_contact),
            "prompt": self.prompt,
            "task": self.task,
            "factors": self.layout.factors.to_dict(),
            "state": self.state(),
        }

    def _observe(self) -> np.ndarray:
        x, y, yaw = self.state()["robot"]
        left, right = self._arms()
        return np.array([x, y, np.sin(yaw), np.cos(yaw), left, right, float(self._gripping), float(self.held is not None)], np.float32)

    def _arms(self) -> tuple[float, float]:
        q = self.data.qpos
        left, right = (float(np.clip(q[self._names.joint[f"{side}_shoulder"]] / np.pi, 0, 1)) for side in ("left", "right"))
        return left, right

    # ------------------------------------------------------------------ an episode's parts

    def _place(self, layout: layouts.Layout) -> None:
        model, data, names = self.model, self.data, self._names
        mujoco.mj_resetData(model, data)
        data.eq_active[:] = 0
        self._gripping = False
        q, factors = data.qpos, layout.factors
        for axis, value in zip(("x", "y", "yaw"), layout.robot, strict=True):
            q[names.joint[f"robot_{axis}"]] = value
        self._yaw_target = layout.robot[2]
        for slot in range(MAX_OBJECTS):
            used = slot < len(layout.objects)
            geom = names.geom[f"object{slot}"]
            if used:
                colour, shape = layout.objects[slot].split()
                _shape_geom(model, geom, shape, OBJECT_SIZE)
                model.geom_rgba[geom] = (*COLOURS[colour], 1)
            model.body_pos[names.body[f"object{slot}"], 2] = OBJECT_SIZE
            x, y = layout.object_xy[slot] if used else (_FAR + slot, _FAR)
            q[names.joint[f"object{slot}_x"]], q[names.joint[f"object{slot}_y"]] = x, y
            model.geom_contype[geom] = model.geom_conaffinity[geom] = int(used)
        for slot in range(MAX_CLUTTER):
            used = slot < len(layout.clutter)
            geom = names.geom[f"clutter{slot}"]
            _shape_geom(model, geom, "cube", 0.12)
            model.geom_rgba[geom] = (0.42, 0.43, 0.46, 1)
            model.body_pos[names.body[f"clutter{slot}"], 2] = 0.12
            x, y = layout.clutter[slot] if used else (_FAR + slot, -_FAR)
            q[names.joint[f"clutter{slot}_x"]], q[names.joint[f"clutter{slot}_y"]] = x, y
            model.geom_contype[geom] = model.geom_conaffinity[geom] = int(used)
        data.mocap_pos[0] = (*layout.mat, 0)
        self._place_dog(layout)
        assert factors.floor is not None  # for the type checker: a layout has decided every factor
        assert factors.walls is not None
        model.geom_rgba[names.geom["floor"]] = (*FLOORS[factors.floor], 1)
        for wall in ("wall_back", "wall_left", "wall_right"):
            model.geom_rgba[names.geom[wall]] = (*WALLS[factors.walls], 1)
        lamp, ambient, diffuse = self._base_lights
        scale = 0.45 if factors.light == "dim" else 1.0
        model.light_diffuse[:] = lamp * scale
        model.vis.headlight.ambient[:] = ambient * scale
        model.vis.headlight.diffuse[:] = diffuse * scale
        mujoco.mj_forward(model, data)

    def _place_dog(self, layout: layouts.Layout) -> None:
        model, q, names = self.model, self.data.qpos, self._names
        kind = layout.factors.dog
        x, y, yaw = layout.dog if kind != "absent" else (_FAR, 0.0, 0.0)
        for axis, value in zip(("x", "y", "yaw"), (x, y, yaw), strict=True):
            q[names.joint[f"dog_{axis}"]] = value
        self._dog_yaw = yaw
        lying = kind == "lying"
        model.body_pos[names.body["dog"], 2] = -0.03 if lying else 0.09
        assert layout.factors.dog_coat is not None
        coat = DOG_COATS[layout.factors.dog_coat]
        for name, geom in names.geom.items():
            if name.startswith("dog_"):
                shade = 0.75 if name in ("dog_ear_l", "dog_ear_r", "dog_snout") else 1.0
                hidden = lying and name.startswith("dog_leg")
                model.geom_rgba[geom] = (*(shade * c for c in coat), 0.0 if hidden else 1.0)

    def _drive(self, action: np.ndarray) -> None:
        ctrl, names = self.data.ctrl, self._names
        velocity = action[:2] * min(1.0, MAX_SPEED / max(np.hypot(*action[:2]), 1e-9))
        ctrl[names.actuator["drive_x"]], ctrl[names.actuator["drive_y"]] = velocity
        if np.hypot(*velocity) > 0.12:
            heading = np.arctan2(velocity[1], velocity[0])
            turn = (heading - self._yaw_target + np.pi) % (2 * np.pi) - np.pi
            self._yaw_target += turn
        ctrl[names.actuator["turn"]] = self._yaw_target
        for side, value in zip(("left", "right"), action[2:4], strict=True):
            ctrl[names.actuator[f"{side}_shoulder"]] = value * np.pi

    def _walk_dog(self) -> None:
        """A walking dog crosses along its heading and turns at the walls; a following one keeps behind the robot."""
        kind, ctrl, names, q = self.layout.factors.dog, self.data.ctrl, self._names, self.data.qpos
        if kind in ("absent", "lying"):
            ctrl[names.actuator["dog_turn"]] = self._dog_yaw
            return
        x, y = q[names.joint["dog_x"]], q[names.joint["dog_y"]]
        speed = self.layout.dog_speed
        if kind == "following":
            offset = np.array([q[names.joint["robot_x"]] - x, q[names.joint["robot_y"]] - y])
            distance = np.hypot(*offset)
            wanted = np.arctan2(offset[1], offset[0])
            self._dog_yaw += (wanted - self._dog_yaw + np.pi) % (2 * np.pi) - np.pi
            speed = speed * 0.8 if distance > 1.05 else 0.0
        elif max(abs(x + 0.3 * np.cos(self._dog_yaw)), abs(y + 0.3 * np.sin(self._dog_yaw))) > 1.6 and (
            x * np.cos(self._dog_yaw) + y * np.sin(self._dog_yaw) > 0
        ):
            self._dog_yaw += np.pi
        ctrl[names.actuator["dog_turn"]] = self._dog_yaw
        gain = speed * (250 + 90) / 250  # the joint's damping takes its share of the drive
        ctrl[names.actuator["dog_drive_x"]] = gain * np.cos(self._dog_yaw)
        ctrl[names.actuator["dog_drive_y"]] = gain * np.sin(self._dog_yaw)

    def _touches_dog(self) -> bool:
        """A contact between the dog and the robot, or what the robot holds."""
        contact = self.data.contact
        if contact.geom.shape[0] == 0:
            return False
        bodies = self._names.group[contact.geom]
        if self.held is not None:
            bodies = np.where(contact.geom == self._names.geom[f"object{self.held}"], _ROBOT, bodies)
        return bool((((bodies[:, 0] == _ROBOT) & (bodies[:, 1] == _DOG)) | ((bodies[:, 0] == _DOG) & (bodies[:, 1] == _ROBOT))).any())

    def _grip(self, closed: bool) -> None:
        names, data = self._names, self.data
        self._gripping = closed
        if not closed:
            if self.held is not None:
                data.eq_active[names.equality[f"grasp{self.held}"]] = 0
                self.held = None
            return
        if self.held is not None:
            return
        x, y, yaw = self.state()["robot"]
        tip = np.array([x + GRIPPER_REACH * np.cos(yaw), y + GRIPPER_REACH * np.sin(yaw)])
        for slot, (ox, oy, _) in enumerate(self.state()["objects"].values()):
            if np.hypot(tip[0] - ox, tip[1] - oy) < GRASP_RADIUS:
                index = names.equality[f"grasp{slot}"]
                self.model.eq_data[index, :6] = (GRIPPER_REACH - 0.30, 0, 0, 0, 0, 0)
                data.eq_active[index] = 1
                self.held = slot
                return

    def _succeeds(self) -> bool:
        state, task = self.state(), self.task
        x, y, _ = state["robot"]
        if task.kind == "go":
            ox, oy, _ = state["objects"][task.target]
            velocity = self.data.qvel[[self._names.dof["robot_x"], self._names.dof["robot_y"]]]
            return bool(np.hypot(x - ox, y - oy) < GO_RADIUS and np.hypot(*velocity) < 0.3)
        if task.kind == "bring":
            ox, oy, _ = state["objects"][task.target]
            return bool(max(abs(ox - state["mat"][0]), abs(oy - state["mat"][1])) < MAT_HALF)
        return _gesture_done(task.kind, self._arm_history)


_ROBOT, _DOG = 1, 2


def _gesture_done(kind: str, history: list[tuple[float, float]]) -> bool:
    arms = np.array(history[-8:])
    if len(arms) < 3:
        return False
    up, down = arms[-3:] > 0.7, arms[-3:] < 0.3
    if kind == "raise_both":
        return bool(up.all())
    if kind == "raise_left":
        return bool(up[:, 0].all() and down[:, 1].all())
    if kind == "raise_right":
        return bool(up[:, 1].all() and down[:, 0].all())
    right = arms[:, 1]
    swings = np.abs(np.diff(right)) > 0.12
    reversals = (np.sign(np.diff(right))[1:] * np.sign(np.diff(right))[:-1] < 0) & swings[1:] & swings[:-1]
    return bool(right[-1] > 0.35 and reversals.sum() >= 3)


def _shape_geom(model: mujoco.MjModel, geom: int, shape: str, size: float) -> None:
    """Turns a geom into a ball, a cube or a can in place, which is far cheaper than compiling the model again."""
    kind, sizes = {
        "ball": (mujoco.mjtGeom.mjGEOM_SPHERE, (size, 0, 0)),
        "cube": (mujoco.mjtGeom.mjGEOM_BOX, (size * 0.9,) * 3),
        "can": (mujoco.mjtGeom.mjGEOM_CYLINDER, (size * 0.68, size * 1.25, 0)),
    }[shape]
    model.geom_type[geom] = kind
    model.geom_size[geom] = sizes
    model.geom_rbound[geom] = size * 1.75
    model.geom_aabb[geom] = (0, 0, 0, size * 1.3, size * 1.3, size * 1.3)


class _Names:
    """Names to indices: `joint` into qpos, `dof` into qvel, and `group`: for each geom, robot, dog or neither."""

    def __init__(self, model: mujoco.MjModel):
        self.joint = {model.joint(i).name: int(model.jnt_qposadr[i]) for i in range(model.njnt)}
        self.dof = {model.joint(i).name: int(model.jnt_dofadr[i]) for i in range(model.njnt)}
        self.geom = {model.geom(i).name: i for i in range(model.ngeom) if model.geom(i).name}
        self.body = {model.body(i).name: i for i in range(model.nbody)}
        self.actuator = {model.actuator(i).name: i for i in range(model.nu)}
        self.equality = {model.equality(i).name: i for i in range(model.neq)}
        root = model.body_rootid[model.geom_bodyid]
        self.group = np.zeros(model.ngeom, np.int8)
        self.group[root == self.body["robot"]] = _ROBOT
        self.group[root == self.body["dog"]] = _DOG
