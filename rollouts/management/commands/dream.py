"""Dream futures of one start frame and write them as a strip and videos."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from PIL import Image

from rollouts import services
from rollouts.images import png_decode, strip
from rollouts.management.commands.mine import version_named
from rollouts.models import StartFrame
from rollouts.services.uploads import image_reencode
from rollouts.video import write_mp4


class Command(BaseCommand):
    help = "Dream N futures of one start frame; writes a strip PNG and an MP4 for each, and prints actions, verdicts and values."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prompt", help="What the robot is told, for example “go to the red ball”.")
        parser.add_argument("--n", type=int, default=8, help="How many dreams (8).")
        parser.add_argument("--seed", type=int, default=0, help="The same seed gives the same dreams (0).")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--world-seed", type=int, default=0, help="Start from this episode of the household world (0).")
        where.add_argument("--scene", help="Generate the start frame from these words instead.")
        where.add_argument("--start-frame", type=int, help="Start from this stored start frame instead.")
        where.add_argument("--image", type=Path, help="Start from this picture instead.")
        parser.add_argument("--weights", type=Path, help="A directory of weights, instead of the database's active version.")
        parser.add_argument("--version-name", default="", metavar="NAME", help="A policy version of the database.")
        parser.add_argument("--out", type=Path, default=Path("dreams"), help="Folder to write to (./dreams).")

    def handle(self, **options: Any) -> None:
        if not 1 <= options["n"] <= 64:
            raise CommandError("--n must be 1 to 64.")
        policy = self._policy(options)
        frame = self._frame(policy, options)
        began = time.perf_counter()
        dreams = policy.dream(frame, options["prompt"], n=options["n"], seed=options["seed"])
        took = time.perf_counter() - began
        out: Path = options["out"]
        out.mkdir(parents=True, exist_ok=True)
        rows = []
        for i, dream in enumerate(dreams):
            frames = np.asarray(dream.frames)
            rows.append(strip(frames, len(frames)))
            write_mp4(out / f"dream-{i}.mp4", frames, policy.fps)
            self._tell(i, dream)
        Image.fromarray(np.concatenate(rows, axis=0)).save(out / "strip.png")
        seconds = len(dreams) * (len(dreams[0].frames) - 1) / policy.fps
        self.stdout.write(f"{len(dreams)} dreams ({seconds:.0f} s of future) in {took:.1f} s, {seconds / took:.1f} times real time.")
        self.stdout.write(f"Wrote {out / 'strip.png'} and {len(dreams)} videos.")

    def _policy(self, options: dict[str, Any]) -> Any:
        if options["weights"]:
            from rollouts.dreams.policy import Policy

            try:
                return Policy.load(options["weights"])
            except FileNotFoundError as error:
                raise CommandError(str(error)) from error
        return services.policy_load(version_named(options["version_name"]))

    def _frame(self, policy: Any, options: dict[str, Any]) -> np.ndarray:
        if options["scene"]:
            return policy.imagine(options["scene"], n=1, seed=options["seed"])[0]
        if options["start_frame"]:
            row = StartFrame.objects.filter(pk=options["start_frame"]).first()
            if row is None:
                raise CommandError(f"There is no start frame {options['start_frame']}.")
            from core.media import blob_bytes

            return png_decode(blob_bytes(row.image_id))
        if options["image"]:
            return self._picture(options["image"])
        from rollouts.worlds import make_world

        world = make_world("household")
        try:
            world.reset(seed=options["world_seed"], options={"prompt": options["prompt"]})
            return np.asarray(world.render())
        except ValueError as error:
            raise CommandError(str(error)) from error
        finally:
            world.close()

    def _picture(self, path: Path) -> np.ndarray:
        kinds = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
        try:
            return image_reencode(
                data=path.read_bytes(),
                name=path.name,
                content_type=kinds.get(path.suffix.lower(), ""),
                size=services.frame_size(),
            )
        except (OSError, services.RolloutsError) as error:
            raise CommandError(str(error)) from error

    def _tell(self, number: int, dream: Any) -> None:
        verdict = dream.verdict.to_dict()
        failed = [f"{check['name']} {check['value']:.2f} > {check['limit']:.2f}" for check in verdict["checks"] if not check["ok"]]
        end = np.asarray(dream.path)[-1]
        actions = np.asarray(dream.actions)
        self.stdout.write(
            f"dream {number}: value {float(dream.value):+.2f}, success {float(dream.success):.2f}, "
            f"{'accepted' if verdict['accepted'] else 'rejected: ' + '; '.join(failed)}, ends at ({end[0]:+.2f}, {end[1]:+.2f}) m, "
            f"mean velocity ({actions[:, 0].mean():+.2f}, {actions[:, 1].mean():+.2f}) m/s"
        )
