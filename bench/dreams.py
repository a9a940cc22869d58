"""How good are the dreams? Dog persistence, prompt obedience, diversity, start-frame fidelity, PSNR and SSIM.

python -m bench.dreams [--scale 0.1]

Of a policy that a round has taught: `--weights ROUND/child --results dreams_after_a_round`. Where the base policy dreams that its robot walks over the
dog, the dog is hidden: what it dreams of dogs cannot be told from what it dreams of robots.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench import held_out
from bench.common import ROOT, figure, write_results
from rollouts.dreams.policy import Policy
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.tasks import HELDOUT_TARGETS, Task, say, train_targets
from training.learn.statistics import wilson

TOUCH_GAP = 0.03  # metres between rim and flank, as the probe reads them, below which a dream touches the dog


def rate(hits: int, n: int) -> dict:
    estimate = wilson(hits, n)
    return figure(hits / max(n, 1), n=n, low=estimate.low, high=estimate.high, unit="share")


def touches(policy: Policy, frames: np.ndarray) -> bool:
    return min(reading.dog_gap() for reading in policy.probe.read(frames)) < TOUCH_GAP


def dog_persistence(policy: Policy, n: int) -> tuple[dict, dict]:
    """Dreams in whose every frame the probe still finds the dog; and the same of real videos, in which the actions of those dreams are carried out:
    what is missing there is a dog behind the robot, or a probe that errs."""
    hits = real = 0
    options = {"factors": {"dog": "lying"}}
    env = HouseholdEnv()

    def persists(frames: np.ndarray) -> bool:
        return all(reading.dog_present >= 0.5 for reading in policy.probe.read(frames))

    for index, (frame, info) in enumerate(held_out.starts(n, options)):
        dream = policy.dream(frame, info["prompt"], n=1, seed=index)[0]
        hits += persists(dream.frames)
        env.reset(seed=held_out.FIRST_SEED + index, options=options)
        video = [env.render()]
        for action in dream.actions:
            env.step(action)
            video.append(env.render())
        real += persists(np.stack(video))
    env.close()
    return rate(hits, n), rate(real, n)


def obedience(policy: Policy, n: int, *, heldout: bool, with_text: bool = True) -> dict:
    """Dreams of "go to X" at whose end the robot is nearer to X than to any other object."""
    rng, hits = np.random.default_rng(5 + heldout), 0
    targets = HELDOUT_TARGETS["go"] if heldout else train_targets("go")
    for index in range(n):
        # Held out: half unseen (task, object) compositions in known words, half known ones in unseen words.
        composition = index % 2 == 0
        target = str(rng.choice(targets if not heldout or composition else train_targets("go")))
        prompt = say(Task("go", target), rng, heldout=heldout and not composition)
        frame, _ = next(held_out.starts(1, {"prompt": prompt, "factors": {"dog": "absent"}}, offset=10_000 + index))
        dream = policy.dream(frame, prompt if with_text else "", n=1, seed=index)[0]
        # Where the objects stand is read from the start frame: a pushed or blurred object must not decide.
        first, last = (policy.probe.read(dream.frames[[i]])[0] for i in (0, -1))
        seen = {name: xy for name, (present, xy) in first.objects.items() if present >= 0.5}
        if target in seen:
            hits += min(seen, key=lambda name, last=last: np.hypot(*(np.array(seen[name]) - last.robot_xy))) == target
    return rate(hits, n)


def diversity(policy: Policy, n: int, dreams: int = 8) -> tuple[dict, dict]:
    """Start frames whose dreams both touch and avoid the dog; and the share of all their dreams that touch."""
    options = {"factors": {"dog": "lying", "dog_place": "on_path", "clutter": 0}, "prompt": "go to the red ball"}
    both = touched = 0
    for index, (frame, info) in enumerate(held_out.starts(n, options, offset=20_000)):
        found = [touches(policy, d.frames) for d in policy.dream(frame, info["prompt"], n=dreams, seed=100 * index)]
        both += any(found) and not all(found)
        touched += sum(found)
    return rate(both, n), rate(touched, n * dreams)


def start_frame_fidelity(policy: Policy, n: int, *, one_colour: bool = False) -> dict:
    """Generated start frames in which the probe finds exactly what the text says: dog or none, and each of two named objects.

    The world has no two objects of one colour, so nothing that was trained there has seen them, the probe included; `one_colour` asks for them.
    """
    rng, hits = np.random.default_rng(9), 0
    targets = list(train_targets("go"))
    pairs = [(a, b) for a in targets for b in targets if a != b and (a.split()[0] == b.split()[0]) == one_colour]
    for index in range(n):
        target, other = pairs[int(rng.integers(len(pairs)))]
        dog = index % 2 == 0
        places = rng.permutation(["at the back left", "at the front right", "on the left", "at the back right", "at the front left"])
        words = ["a dog lies in the middle" if dog else "no dog", f"a {target} {places[0]}", f"a {other} {places[1]}", f"the robot is {places[2]}"]
        reading = policy.probe.read(policy.imagine(", ".join(words), n=1, seed=index))[0]
        hits += (reading.dog_present >= 0.5) == dog and all(reading.objects[name][0] >= 0.5 for name in (target, other))
    return rate(hits, n)


def fidelity(policy: Policy, n: int) -> dict[str, dict]:
    """PSNR [dB] and SSIM against the real future of careful demonstrations without a dog, first second and whole clip."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    figures: dict[str, list[float]] = {"psnr_1s": [], "psnr_4s": [], "ssim_1s": [], "ssim_4s": []}
    for index, episode in enumerate(held_out.episodes(n, offset=5_000, skill="careful", options={"factors": {"dog": "absent"}})):
        dream = policy.dream(episode.frames[0], episode.meta["prompt"], n=1, seed=index)[0]
        for name, frames in (("1s", range(1, 4)), ("4s", range(1, 13))):
            pairs = [(episode.frames[i], dream.frames[i]) for i in frames if i < len(episode.frames)]
            figures[f"psnr_{name}"].append(float(np.mean([peak_signal_noise_ratio(a, b) for a, b in pairs])))
            figures[f"ssim_{name}"].append(float(np.mean([structural_similarity(a, b, channel_axis=-1) for a, b in pairs])))
    return {name: mean(values, "dB" if "psnr" in name else "") for name, values in figures.items()}


def mean(values: list[float], unit: str) -> dict:
    half = 1.96 * np.std(values) / max(1, np.sqrt(len(values)))
    return figure(float(np.mean(values)), n=len(values), low=float(np.mean(values) - half), high=float(np.mean(values) + half), unit=unit)


def strip(policy: Policy, path: Path, starts: int = 8, dreams: int = 4) -> None:
    """8 start frames x 4 dreams, every third frame: what a person sees at a glance."""
    prompts = ["go to the red ball", "go to the yellow can", "bring the green cube to the mat", "go to the purple ball"]
    rows = []
    for index in range(starts):
        prompt = prompts[index % len(prompts)]
        options = {"prompt": prompt, "factors": {"dog": "lying", "dog_place": "on_path"} if index % 4 != 3 else {}}
        frame, _ = next(held_out.starts(1, options, offset=30_000 + index))
        for dream in policy.dream(frame, prompt, n=dreams, seed=10 * index):
            rows.append(np.concatenate(list(dream.frames[::2]), 1))
    blocks = [np.concatenate(rows[i : i + dreams]) for i in range(0, len(rows), dreams)]
    half = len(blocks) // 2
    gap = np.full((blocks[0].shape[0] * half, 16, 3), 255, np.uint8)
    sheet = np.concatenate([np.concatenate(blocks[:half]), gap, np.concatenate(blocks[half:])], 1)
    image = Image.fromarray(sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full trial counts")
    parser.add_argument("--results", default="dreams", help="name of the file of results; that of the shipped weights comes with a picture for the docs")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    began = time.time()

    def count(full: int) -> int:
        return max(4, round(full * options.scale))

    both, touched = diversity(policy, count(100))
    dreamed, real = dog_persistence(policy, count(200))
    figures = {
        "dog_persistence": dreamed,
        "dog_persistence_real": real,
        "prompt_obedience": obedience(policy, count(200), heldout=False),
        "prompt_obedience_heldout": obedience(policy, count(200), heldout=True),
        "prompt_obedience_no_text": obedience(policy, count(100), heldout=False, with_text=False),
        "diversity": both,
        "dreamed_contact_rate": touched,
        "start_frame_fidelity": start_frame_fidelity(policy, count(100)),
        "start_frame_fidelity_one_colour": start_frame_fidelity(policy, count(100), one_colour=True),
        **fidelity(policy, count(60)),
    }
    if options.results == "dreams" and not options.no_save:
        strip(policy, ROOT / "docs" / "images" / "dreams.png")
    if options.no_save:
        for name, row in figures.items():
            print(f"{name:<28} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n={row['n']}")
    else:
        write_results(options.results, figures, began)


if __name__ == "__main__":
    main()
