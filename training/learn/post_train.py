"""DPO post-training of a world model: the recipe, from preferences on disk to new weights.

Reads top to bottom: ``setup``, ``train``, ``cleanup``. The same settings and data give the same
weights hash on the same machine, killed and resumed any number of times. Runs in one process or under

    torchrun --nproc-per-node 2 -m training.learn.post_train --parent DIR --preferences DIR --out DIR
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rollouts.dreams.precision import autocast
from training.learn.batches import generator_for, plan_step
from training.learn.bradley_terry import theta_from_tie_rate
from training.learn.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from training.learn.distributed import World, gathered, join_world
from training.learn.dpo import (
    FlowDPOLoss,
    WorldModel,
    reference_pass,
    sample_times,
)
from training.learn.dpo_settings import DPOSettings
from training.learn.held_out import SURE, HeldOut, clearly_worse
from training.learn.lora import lora_attach, lora_disabled, lora_state
from training.learn.objective import Objective, View
from training.learn.preferences import PreferenceData, TextTable, directory_hash, file_hash
from training.learn.step_metrics import Sums

Report = Callable[[int, dict[str, Any]], None]

# Steps between reports of training metrics.
REPORT_EVERY = 5


@dataclass
class PostTrainResult:
    """What a run leaves: the file, its sha256, which step it is from and why it stopped."""

    weights: Path
    sha256: str
    best_step: int
    steps: int
    stopped: str
    theta: float
    seconds: float
    alarms: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)


class PostTrain:
    """Train ``model`` on preferences against a frozen copy of itself.

    Args:
        model: the parent's world model; it is changed in place.
        encode_text: list of prompts -> encoded text (frozen, called once per distinct prompt).
        view: presents the network as a ``WorldModel``; the identity if it is one already.
        out: directory for checkpoints, ``metrics.jsonl`` and the final ``world_model.safetensors``.
        own_C: bool, which channels of the latents are the robot's own doing; a preference is about these if ``settings.credit``
            is "robot". None: all are.
        identity: whatever else must not change between a checkpoint and its resumption, such as the
            parent's hash.
        on_metrics: called with (step, metrics) after every evaluation and every fifth step.
        check_cancelled: called before every step; raises to stop. A later run resumes.
    """

    def __init__(
        self,
        settings: DPOSettings,
        data: PreferenceData,
        model: nn.Module,
        encode_text: Callable[[list[str]], Any],
        out: Path,
        *,
        view: View = lambda model: model,  # type: ignore[assignment,return-value]
        own_C: Tensor | None = None,
        world: World | None = None,
        identity: str = "",
        on_metrics: Report | None = None,
        check_cancelled: Callable[[], None] | None = None,
    ) -> None:
        self.settings, self.data, self.out = settings, data, out
        self.data.own_C = own_C if settings.credit == "robot" else None
        self.world = world or World(0, 1, torch.device("cpu"))
        self.model = model.to(self.world.device)
        self.encode_text, self.view = encode_text, view
        self.identity = identity
        self.on_metrics = on_metrics or (lambda step, metrics: None)
        self.check_cancelled = check_cancelled or (lambda: None)

    # -- setup ------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Freeze the reference, split the pairs, fit theta, and pick up the last checkpoint."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        settings, data = self.settings, self.data
        self.model.train(False)  # no dropout: shared noise is only shared if nothing else varies
        # What reads the start frame gets no gradient; several processes would wait for one.
        readers: list[nn.Module] = self.model.frozen() if hasattr(self.model, "frozen") else []  # type: ignore[operator]
        if settings.adapt == "lora":
            lora_attach(
                self.model,
                rank=settings.lora_rank,
                alpha=settings.lora_alpha,
                seed=settings.seed,
                leave=readers,
            )
            self.parent = None
        else:
            self.parent = copy.deepcopy(self.model).requires_grad_(False)
            self.model.requires_grad_(True)
            for part in readers:
                part.requires_grad_(False)

        self.theta = settings.tie_theta if settings.tie_theta is not None else theta_from_tie_rate(data.tie_rate)
        self.loss = FlowDPOLoss(
            beta=settings.beta,
            tie_theta=self.theta,
            label_smoothing=settings.label_smoothing,
        )
        train, held = data.split(settings.held_out, settings.seed)
        if self.theta == 1.0:
            train = [i for i in train if not data.rows[i].tie]
            held = [i for i in held if not data.rows[i].tie]
        if not train:
            raise ValueError("no preference is left to learn from after ties and held-out pairs")
        self.new = [i for i in train if data.rows[i].origin == "new"]
        self.old = [i for i in train if data.rows[i].origin == "old"]
        self.mean_weight = sum(data.rows[i].weight for i in train) / len(train)
        self.text = TextTable(self.encode_text, data.prompts + data.replay_prompts)
        self.objective = self.world.wrap(Objective(self.model, self.view, self.loss, settings))
        # Sharding replaces parameters, so they are looked for only now.
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained,
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
        )
        with self.world.whole(self.objective):
            self.held_out = HeldOut(
                settings,
                data,
                held,
                self.text,
                self.loss,
                self.reference,
                self.world.device,
            )
        self.progress = Checkpoint(identity=self.fingerprint(train, held))
        load_checkpoint(self.out, self.progress, self.model, self.optimizer)

    def fingerprint(self, train: list[int], held: list[int]) -> str:
        """Changes whenever a checkpoint could not be continued with the same result."""
        parts = (
            self.settings.to_dict(),
            self.theta,
            len(train),
            len(held),
            self.identity,
        )
        return json.dumps(parts, sort_keys=True)

    @contextmanager
    def reference(self) -> Iterator[WorldModel]:
        """The frozen parent: a copy, or the model with its adapters off."""
        if self.parent is not None:
            yield self.view(self.parent)
        else:
            with lora_disabled(self.model):
                yield self.view(self.model)

    # -- train ------------------------------------------------------------------------------------

    def train(self) -> None:
        """Step until the budget, the patience or a cancellation ends it."""
        progress, settings = self.progress, self.settings
        if progress.step == 0 and not progress.history:
            self.evaluate()
        while progress.step < settings.steps and not progress.stopped:
            self.check_cancelled()
            metrics = self.step(progress.step)
            progress.step += 1
            last = progress.step == settings.steps
            if progress.step % REPORT_EVERY == 0 or last:
                self.on_metrics(progress.step, metrics)
            if progress.step % settings.evaluate_every == 0 or last:
                self.evaluate()
            self.log("train", progress.step, metrics)
            if progress.step % settings.checkpoint_every == 0 or last or progress.stopped:
                self.checkpoint()
        progress.stopped = progress.stopped or "budget"

    def step(self, step: int) -> dict[str, Any]:
        """One optimiser step over the global batch; every rank works on its share."""
        settings, world = self.settings, self.world
        plan = plan_step(settings, step, self.new, self.old, len(self.data.replay_prompts))
        g = generator_for(settings.seed, "noise", step)
        frame_shape = self.data.latents_NTCHW.shape[1:]
        noise = torch.randn(len(plan.pairs), *frame_shape, generator=g)
        t_P = sample_times(len(plan.pairs), g, settings.time_mean, settings.time_std, settings.time_min)
        replay_noise = torch.randn(len(plan.replay), *frame_shape, generator=g)
        replay_t = sample_times(len(plan.replay), g, settings.time_mean, settings.time_std, settings.time_min)

        mine, mine_replay = world.part(len(plan.pairs)), world.part(len(plan.replay))
        indices, noise, t_P = plan.pairs[mine], noise[mine], t_P[mine]
        replay_rows = plan.replay[mine_replay]
        starts = list(range(0, max(len(indices), 1), settings.micro_batch))
        self.optimizer.zero_grad(set_to_none=True)
        sums = Sums(world.device)
        for number, start in enumerate(starts):
            end, last = start + settings.micro_batch, number == len(starts) - 1
            batch = self.data.batch(indices[start:end], self.text).to(world.device)
            batch.weight_P = batch.weight_P / self.mean_weight
            noise_, t_ = (
                noise[start:end].to(world.device),
                t_P[start:end].to(world.device),
            )
            replay = None
            if last and replay_rows:
                replay = self.replay_batch(replay_rows, replay_noise[mine_replay], replay_t[mine_replay])
            with self.precision(), world.no_sync(self.objective, last):
                # Adapters share the trained weights with their reference, which runs outside the wrapped module.
                whole = world.whole(self.objective) if self.parent is None else nullcontext()
                with whole, self.reference() as parent:
                    pass_ = reference_pass(parent, batch, noise_, t_)
                total, terms, errors_R = self.objective(batch, pass_, noise_, t_, replay)
                # DDP averages over ranks; the loss is a mean over the *global* batch.
                (total * world.size / len(plan.pairs)).backward()
            sums.add(total.detach(), terms, batch, errors_R)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, settings.gradient_clip * settings.error_unit)
        warm = min(1.0, (step + 1) / max(settings.warmup_steps, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm
        self.optimizer.step()
        return sums.means(world) | {"gradient_norm": float(gathered(norm))}

    def precision(self):
        """bfloat16 where the machine multiplies in it natively, float32 elsewhere."""
        return autocast(self.world.device)

    def replay_batch(self, rows: list[int], noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Any, Tensor, Tensor]:
        """Real clips, their start frames, prompts, noise and times for ``flow_matching_error``."""
        data, device = self.data, self.world.device
        assert data.replay_MTCHW is not None  # for the type checker: rows of an empty pool are never drawn
        assert data.replay_start_MCHW is not None
        text = self.text.rows([data.replay_prompts[i] for i in rows])
        return (
            data.replay_MTCHW[rows].to(device),
            data.replay_start_MCHW[rows].to(device),
            text,
            noise.to(device),
            t.to(device),
        )

    def evaluate(self) -> None:
        """Held-out metrics and motion; keep the best weights, raise alarms, stop when worse."""
        progress, settings = self.progress, self.settings
        with self.world.whole(self.objective):
            metrics = self.held_out.evaluate(self.view(self.model))
        alarms = self.held_out.alarms(progress.step, metrics)
        progress.alarms += [alarm.to_dict() for alarm in alarms]
        losses = self.held_out.losses_P
        if progress.step == 0 or (not alarms and losses.mean() < torch.tensor(progress.lowest).mean()):
            progress.lowest = losses.tolist()
        lowest = torch.tensor(progress.lowest)
        # The latest weights that raise no alarm and are not clearly worse on held-out pairs than the lowest so far, once that is clearly better than
        # the parent: where choices teach nothing, all that a child learns is the replay.
        sound = progress.step == 0 or (not alarms and not clearly_worse(losses, lowest))
        taught = len(losses) < 2 or clearly_worse(self.held_out.parents_P, lowest, errors=SURE)
        progress.worse = 0 if sound else progress.worse + 1
        if progress.worse >= settings.patience:
            progress.stopped = "alarm" if alarms else "patience"
        if progress.step == 0 or (sound and taught):
            progress.best_step = progress.step
            weights = self.weights()
            if self.world.is_main:
                save_weights(weights, self.out / "best.safetensors")
        metrics["alarms"] = [alarm.to_dict() for alarm in alarms]
        metrics = {f"held_out/{name}": value for name, value in metrics.items()}
        progress.history.append({"step": progress.step, **metrics})
        self.log("held-out", progress.step, metrics)
        self.on_metrics(progress.step, metrics)

    def weights(self) -> dict[str, Tensor]:
        state = lora_state(self.model) if self.settings.adapt == "lora" else self.model.state_dict()
        return {name: gathered(value) for name, value in state.items()}

    def checkpoint(self) -> None:
        save_checkpoint(self.out, self.progress, self.model, self.optimizer, write=self.world.is_main)
        self.world.barrier()

    def log(self, kind: str, step: int, metrics: dict[str, Any]) -> None:
        if self.world.is_main:
            with (self.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"kind": kind, "step": step, **metrics}) + "\n")

    # -- cleanup ----------------------------------------------------------------------------------

    def cleanup(self) -> PostTrainResult:
        """Write the best weights as the result and say how the run went."""
        progress, target = self.progress, self.out / "world_model.safetensors"
        sha256 = ""
        if self.world.is_main:
            target.write_bytes((self.out / "best.safetensors").read_bytes())
            sha256 = file_hash(target)
        self.world.barrier()
        best = next((h for h in progress.history if h["step"] == progress.best_step), {})
        return PostTrainResult(
            weights=target,
            sha256=sha256,
            best_step=progress.best_step,
            steps=progress.step,
            stopped=progress.stopped,
            theta=self.theta,
            seconds=time.monotonic() - self.started,
            alarms=progress.alarms,
            metrics=best,
        )

    def run(self) -> PostTrainResult:
        self.setup()
        self.train()
        return self.cleanup()


def post_train(settings: DPOSettings, parent: Path, preferences: Path, out: Path, world: World, on_metrics: Report | None = None) -> PostTrainResult:
    """The recipe on directories: of the parent policy, of preferences and of what comes out."""
    from rollouts.dreams.policy import Policy
    from training.learn.policy_flow import PolicyFlow

    policy = Policy.load(parent)
    return PostTrain(
        settings,
        PreferenceData.load(preferences),
        policy.world_model,
        lambda prompts: policy.text.encode(prompts, policy.world_model.config.text_tokens),
        out,
        view=PolicyFlow.of,
        own_C=policy.motion.own,
        world=world,
        identity=f"{file_hash(parent / 'world_model.safetensors')}:{directory_hash(preferences)}",
        on_metrics=on_metrics,
    ).run()


def main() -> None:
    """The recipe on directories, alone or under torchrun; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parent", type=Path, required=True, help="directory of the parent policy")
    parser.add_argument("--preferences", type=Path, required=True, help="directory as `training.learn.preferences` describes it")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, metrics.jsonl and world_model.safetensors go here")
    parser.add_argument("--shard", action="store_true", help="shard weights and optimiser state over the processes (FSDP2) instead of copying them (DDP)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of DPOSettings; may be given often")
    options = parser.parse_args()
    settings = DPOSettings.from_dict({name: json.loads(value) for name, _, value in (entry.partition("=") for entry in options.set)})
    with join_world(sharded=options.shard) as world:

        def show(step: int, metrics: dict[str, Any]) -> None:
            if world.is_main:
                loss = metrics.get("held_out/loss")
                sys.stderr.write(f"step {step}: held-out loss {loss:.4f}\n" if loss is not None else f"step {step}: loss {metrics.get('loss', 0):.4f}\n")

        result = post_train(settings, options.parent, options.preferences, options.out, world, show)
        if world.is_main:
            sys.stdout.write(f"{result.sha256} {result.weights} (step {result.best_step}, stopped by {result.stopped})\n")


if __name__ == "__main__":
    main()
