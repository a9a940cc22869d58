"""The household room, its robot, dog and objects as one MuJoCo model, built with MjSpec.

The model is compiled once; an episode only moves bodies and recolours geoms (`env.py`).
Units: metres, kilograms, seconds, radians. The floor spans x, y in [-1.7, 1.7]; x points right and y away from
the camera.
"""

from __future__ import annotations

import mujoco

from . import camera
from .factors import MAX_CLUTTER, MAX_OBJECTS

ROOM_HALF = 1.7
ROBOT_RADIUS = 0.24
DOG_LENGTH = 0.74
OBJECT_SIZE = 0.215
MAT_HALF = 0.42
TIMESTEP = 0.01

_SPHERE = mujoco.mjtGeom.mjGEOM_SPHERE
_CAPSULE = mujoco.mjtGeom.mjGEOM_CAPSULE
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID
_PLANE = mujoco.mjtGeom.mjGEOM_PLANE
_SLIDE = mujoco.mjtJoint.mjJNT_SLIDE
_HINGE = mujoco.mjtJoint.mjJNT_HINGE

WHITE = (0.97, 0.97, 0.98, 1)
BLUE = (0.13, 0.36, 0.88, 1)
NAVY = (0.06, 0.10, 0.25, 1)
ORANGE = (1.0, 0.50, 0.08, 1)

# Contact bits: everything solid collides with everything solid; decoration with nothing.
_SOLID = {"contype": 1, "conaffinity": 1}
_GHOST = {"contype": 0, "conaffinity": 0}


def build_spec() -> mujoco.MjSpec:
    """The whole scene as an editable MjSpec; `build_spec().to_xml()` is its MJCF."""
    spec = mujoco.MjSpec()
    spec.modelname = "household"
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 20
    # In software, twice the size averaged down is three times faster than multisampling and looks the same.
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0  # nothing casts one, and the map of them would take 64 MiB of each renderer
    spec.visual.quality.numslices = 14
    spec.visual.quality.numstacks = 8
    spec.visual.headlight.ambient = [0.32, 0.32, 0.32]
    spec.visual.headlight.diffuse = [0.30, 0.30, 0.30]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    world = spec.worldbody
    world.add_light(
        name="lamp",
        pos=[0.6, -1.5, 4.0],
        dir=[-0.12, 0.3, -1],
        diffuse=[0.40, 0.40, 0.40],
        ambient=[0.12] * 3,
        castshadow=False,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    )
    _add_room(world)
    _add_mat(world)
    _add_robot(spec, world)
    _add_dog(spec, world)
    for slot in range(MAX_OBJECTS):
        _add_loose(spec, world, f"object{slot}", mass=0.8, lifted=True)
    for slot in range(MAX_CLUTTER):
        _add_loose(spec, world, f"clutter{slot}", mass=1.5, lifted=False)
    for slot in range(MAX_OBJECTS):
        spec.add_equality(
            name=f"grasp{slot}",
            type=mujoco.mjtEq.mjEQ_CONNECT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            name1="gripper",
            name2=f"object{slot}",
            active=False,
            data=[0.0] * 12,
            solref=[0.06, 1.0],
        )
    return spec


def _add_room(world) -> None:
    world.add_geom(name="floor", type=_PLANE, size=[ROOM_HALF + 0.25, ROOM_HALF + 0.25, 0.1], rgba=[0.8, 0.8, 0.8, 1])
    far = ROOM_HALF + 0.12
    for name, pos, size in (
        ("wall_back", [0, far, 0.35], [far + 0.1, 0.1, 0.35]),
        ("wall_left", [-far, 0, 0.35], [0.1, far, 0.35]),
        ("wall_right", [far, 0, 0.35], [0.1, far, 0.35]),
    ):
        world.add_geom(name=name, type=_BOX, pos=pos, size=size, rgba=[0.9, 0.9, 0.85, 1], **_SOLID)
    # An unseen kerb keeps things in the room on the camera's side.
    world.add_geom(name="kerb", type=_BOX, pos=[0, -far, 0.2], size=[far, 0.1, 0.2], rgba=[0, 0, 0, 0], **_SOLID)
    cabinet = world.add_body(name="cabinet", pos=[-0.95, 1.53, 0])
    cabinet.add_geom(type=_BOX, size=[0.5, 0.18, 0.28], pos=[0, 0, 0.28], rgba=[0.45, 0.33, 0.28, 1], **_SOLID)
    cabinet.add_geom(type=_BOX, size=[0.52, 0.20, 0.03], pos=[0, 0, 0.58], rgba=[0.60, 0.46, 0.38, 1], **_GHOST)
    plant = world.add_body(name="plant", pos=[1.45, 1.45, 0])
    plant.add_geom(type=_CYLINDER, size=[0.14, 0.14, 0], pos=[0, 0, 0.14], rgba=[0.85, 0.85, 0.85, 1], **_SOLID)
    plant.add_geom(type=_ELLIPSOID, size=[0.22, 0.22, 0.3], pos=[0, 0, 0.5], rgba=[0.22, 0.42, 0.30, 1], **_GHOST)
    world.add_camera(name="room", pos=camera.POSITION.tolist(), xyaxes=[*camera.RIGHT, *camera.UP], fovy=camera.FOVY)


def _add_mat(world) -> None:
    mat = world.add_body(name="mat", mocap=True)
    mat.add_geom(type=_BOX, size=[MAT_HALF, MAT_HALF, 0.006], pos=[0, 0, 0.006], rgba=[0.10, 0.62, 0.72, 1], **_GHOST)
    mat.add_geom(type=_BOX, size=[MAT_HALF - 0.1, MAT_HALF - 0.1, 0.007], pos=[0, 0, 0.007], rgba=[0.55, 0.86, 0.90, 1], **_GHOST)


def _add_robot(spec, world) -> None:
    """A NEO-like robot: an omnidirectional base that turns to where it goes, two arms, a vacuum gripper in front."""
    robot = world.add_body(name="robot")
    for axis, direction in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        robot.add_joint(name=f"robot_{axis}", type=_SLIDE, axis=direction)
        spec.add_actuator(name=f"drive_{axis}", target=f"robot_{axis}", trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_velocity(kv=500)
    robot.add_joint(name="robot_yaw", type=_HINGE, axis=[0, 0, 1], armature=0.2)
    spec.add_actuator(name="turn", target="robot_yaw", trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_position(kp=60, kv=9)
    robot.add_geom(
        name="robot_base", type=_CYLINDER, size=[ROBOT_RADIUS, 0.14, 0], pos=[0, 0, 0.15], rgba=list(BLUE), mass=25, friction=[0.05, 0.005, 0.0001], **_SOLID
    )
    robot.add_geom(name="robot_torso", type=_CAPSULE, size=[0.16, 0.24, 0], pos=[0, 0, 0.58], rgba=list(WHITE), mass=8, **_SOLID)
    robot.add_geom(name="robot_chest", type=_BOX, size=[0.03, 0.09, 0.10], pos=[0.15, 0, 0.62], rgba=list(BLUE), mass=0.1, **_GHOST)
    robot.add_geom(name="robot_head", type=_SPHERE, size=[0.17, 0, 0], pos=[0, 0, 1.06], rgba=list(WHITE), mass=1, **_GHOST)
    robot.add_geom(name="robot_visor", type=_ELLIPSOID, size=[0.09, 0.14, 0.09], pos=[0.11, 0, 1.08], rgba=list(NAVY), mass=0.1, **_GHOST)
    for side, sign, hand in (("left", 1, ORANGE), ("right", -1, NAVY)):
        arm = robot.add_body(name=f"{side}_arm", pos=[0, sign * 0.24, 0.80])
        # 0: the arm hangs; pi: it points up. The left hand is orange, the right one navy, so that a viewer tells them apart.
        arm.add_joint(name=f"{side}_shoulder", type=_HINGE, axis=[0, -1, 0], damping=0.6, armature=0.05)
        spec.add_actuator(name=f"{side}_shoulder", target=f"{side}_shoulder", trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_position(kp=40, kv=5)
        arm.add_geom(type=_CAPSULE, size=[0.065, 0.17, 0], pos=[0, sign * 0.03, -0.20], rgba=list(BLUE), mass=0.6, **_GHOST)
        arm.add_geom(type=_SPHERE, size=[0.105, 0, 0], pos=[0, sign * 0.04, -0.44], rgba=list(hand), mass=0.2, **_GHOST)
    gripper = robot.add_body(name="gripper", pos=[0.30, 0, 0.32])
    gripper.add_geom(name="gripper_pad", type=_BOX, size=[0.07, 0.12, 0.05], rgba=list(NAVY), mass=0.3, **_GHOST)


def _add_dog(spec, world) -> None:
    dog = world.add_body(name="dog")
    for axis, direction in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        dog.add_joint(name=f"dog_{axis}", type=_SLIDE, axis=direction, damping=90)
        spec.add_actuator(name=f"dog_drive_{axis}", target=f"dog_{axis}", trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_velocity(kv=250)
    dog.add_joint(name="dog_yaw", type=_HINGE, axis=[0, 0, 1], damping=20, armature=0.5)
    spec.add_actuator(name="dog_turn", target="dog_yaw", trntype=mujoco.mjtTrn.mjTRN_JOINT).set_to_position(kp=30, kv=8)
    coat = [0.42, 0.25, 0.12, 1]

    def part(name, kind, size, pos, solid=False, **more):
        dog.add_geom(name=f"dog_{name}", type=kind, size=size, pos=pos, rgba=coat, mass=2 if solid else 0.1, **(_SOLID if solid else _GHOST), **more)

    lie_along_x = {"quat": [0.7071, 0, 0.7071, 0]}
    part("body", _CAPSULE, [0.15, 0.21, 0], [-0.05, 0, 0.18], solid=True, friction=[0.05, 0.005, 0.0001], **lie_along_x)
    part("head", _SPHERE, [0.145, 0, 0], [0.32, 0, 0.30], solid=True, friction=[0.05, 0.005, 0.0001])
    part("snout", _CAPSULE, [0.065, 0.07, 0], [0.45, 0, 0.26], **lie_along_x)
    part("ear_l", _ELLIPSOID, [0.05, 0.04, 0.10], [0.28, 0.13, 0.33])
    part("ear_r", _ELLIPSOID, [0.05, 0.04, 0.10], [0.28, -0.13, 0.33])
    part("tail", _CAPSULE, [0.035, 0.10, 0], [-0.42, 0, 0.30], quat=[0.924, 0, -0.383, 0])
    for name, x, y in (("fl", 0.16, 0.1), ("fr", 0.16, -0.1), ("bl", -0.22, 0.1), ("br", -0.22, -0.1)):
        part(f"leg_{name}", _CAPSULE, [0.05, 0.10, 0], [x, y, 0.10])


def _add_loose(spec, world, name: str, *, mass: float, lifted: bool) -> None:
    """An object that slides on the floor when pushed; with `lifted` the gripper can also raise it."""
    body = world.add_body(name=name)
    body.add_joint(name=f"{name}_x", type=_SLIDE, axis=[1, 0, 0], damping=12)
    body.add_joint(name=f"{name}_y", type=_SLIDE, axis=[0, 1, 0], damping=12)
    if lifted:
        body.add_joint(name=f"{name}_z", type=_SLIDE, axis=[0, 0, 1], damping=6)
    body.add_geom(name=name, type=_SPHERE, size=[OBJECT_SIZE] * 3, mass=mass, rgba=[1, 0, 0, 1], friction=[0.05, 0.005, 0.0001], **_SOLID)
