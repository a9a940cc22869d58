"""The proof: choices about dreams make a policy that touches the dog less, in a world, and nothing else does.

    python -m bench.proof                      # three seeds, 300 choices each, 200 + 200 episodes per version
    python -m bench.proof --seeds 1 --choices 120 --episodes 60
    python -m bench.proof --seeds 1 --first-seed 2 --home var/proof-2 --apart     # a seed of its own, beside the others or elsewhere
    python -m bench.proof --merge var/*/results/proof_rows.json                   # the report of seeds that were run apart

From the shipped base weights and for every seed: adversarial start frames -> rollouts -> choices of simulated annotators (10% mistakes,
10% equal) through the product's HTTP API -> a round -> the gate's paired episodes. Arms differ in one thing: `dpo` (pairs chosen as the
product does by default); `sft` (winners only); `coin` (choices by coin on the same pairs: must not improve); `uniform` (pairs drawn at random);
and the best of N dreams by the value head: of the parent, and of the child with the head that its round has refreshed.

It resumes: everything is in the product's own database under --home, so starting it again goes on where it stopped. Writes
bench/results/proof.json and docs/proof.md with its plots.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from bench.common import RESULTS, ROOT, finish_round, product, run_here, write_results

ARM_NAMES = ("dpo", "sft", "coin", "uniform")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=150, help="adversarial start frames per seed")
    parser.add_argument("--rollouts", type=int, default=4, help="per start frame")
    parser.add_argument("--choices", type=int, default=300, help="per seed")
    parser.add_argument("--episodes", type=int, default=200, help="adversarial ones, and as many ordinary ones")
    parser.add_argument("--source", choices=("generated", "captured"), default="generated", help="of the start frames")
    parser.add_argument("--continued", type=float, default=0.0, help="share of the start frames that are moments of a dream, not an episode's beginning")
    parser.add_argument("--arms", default=",".join(ARM_NAMES))
    parser.add_argument("--best-of", type=int, default=8, help="dreams per plan where the value head chooses; 0 leaves it out")
    parser.add_argument("--dpo", default="{}", help="JSON: settings of DPO that differ from the defaults")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--weights", type=Path, help="base weights other than the shipped ones")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "proof")
    parser.add_argument("--apart", action="store_true", help="leave figures and report under --home")
    parser.add_argument("--merge", type=Path, nargs="+", help="only write the report, of these proof_rows.json")
    options = parser.parse_args()
    if options.merge:
        seeds = {row["seed"]: row for path in options.merge for row in json.loads(path.read_text())}
        write([seeds[seed] for seed in sorted(seeds)], options, time.time())
        return
    with product(options.home):
        prove(options)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def prove(options: argparse.Namespace) -> None:
    import torch

    from bench.proof_arms import ARMS, Experience, choices_make, frames_make
    from core.people import person_ensure
    from labeling.simulate import Judge
    from rollouts.services import base_version_ensure, policy_load

    started = time.time()
    if options.threads:
        torch.set_num_threads(options.threads)
    by = person_ensure(username="proof", roles=("admin", "researcher"))
    base = base_version_ensure(directory=options.weights)
    wanted = Experience(options.frames, options.rollouts, options.choices, options.source, options.continued)
    arms = [ARMS[name] for name in options.arms.split(",") if name]
    rows: list[dict[str, Any]] = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        say(f"seed {seed}: {wanted.frames} start frames")
        frames = frames_make(seed=seed, wanted=wanted, version=base, by=by)
        judge = Judge(policy_load(base).probe)
        counts = choices_make(
            seed=seed, wanted=wanted, version=base, frames=frames, say=say, judge=judge, uniformly=any(arm.annotators == "uniform" for arm in arms)
        )
        say(f"seed {seed}: {counts}")
        found: dict[str, Any] = {"seed": seed, "counts": counts, "arms": {}}
        child = None
        for arm in arms:
            row = round_run(arm, seed=seed, base=base, by=by, options=options)
            if row.gate is None:
                say(f"seed {seed}, {arm.name}: {row.state}: {row.error}")
                continue
            found["arms"][arm.name] = arm_result(row)
            child = row.child if arm.name == "dpo" else child
            say(f"seed {seed}, {arm.name}: {' '.join(row.gate['reasons'])}")
        if options.best_of > 1:
            found |= best_of_runs(base, child, seed=seed, by=by, options=options)
        rows.append(found)
        # After every seed, so that an interrupted proof leaves what it has shown so far.
        say(f"report: {write(rows, options, started)}")


def write(rows: list[dict[str, Any]], options: argparse.Namespace, started: float) -> Path:
    """Figures, rows and report. Those about other weights than the shipped ones, and of seeds run apart, stay with their database."""
    from bench.proof_report import DOCS, figures_of, report_write

    results, docs = (options.home / "results", options.home / "docs") if options.weights or options.apart else (RESULTS, DOCS)
    figures = figures_of(rows)
    path = write_results("proof", figures, started, results)
    (path.parent / "proof_rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    return report_write(rows, figures, vars(options), docs)


def suite_settings(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    return {"adversarial": options.episodes, "ordinary": options.episodes, "seed": 10 + seed, "dreams": 1}


def round_run(arm: Any, *, seed: int, base: Any, by: Any, options: argparse.Namespace) -> Any:
    """The arm's round of this seed: as it is if it ended, taken up if it stopped, else from the beginning."""
    from core.models import User
    from training.models import Round
    from training.services import round_resume, round_start

    name = f"proof-s{seed}-{arm.name}"
    row = Round.objects.filter(name=name).first()
    if row is None:
        annotator = User.objects.get(username=f"{arm.annotators}-s{seed}-1")
        settings = {
            "choices": {"annotators": [annotator.pk]},
            "weighting": "equal",
            "dpo": {**json.loads(options.dpo), **arm.dpo, "seed": seed},
            "suite": suite_settings(seed, options),
            "auto_promote": False,
        }
        row = round_start(parent=base, settings=settings, name=name, note=f"the proof, arm {arm.name}", created_by=by)
    elif row.can_resume:
        row = round_resume(row=row, by=by)
    elif row.job and row.job.state == "running":
        row.job = job_take_back(row.job)
    say(f"seed {seed}: round {name}")
    return finish_round(row)


def job_take_back(job: Any) -> Any:
    """A job that a killed proof left running: give it back to its queue, as the sweep of a running product would."""
    from core.jobs.services import job_requeue

    job_requeue(job_id=job.pk, token=job.lease_token, error="The proof was interrupted.", count=False)
    job.refresh_from_db()
    return job


def arm_result(row: Any) -> dict[str, Any]:
    from training.models import RoundMetric

    held_out = RoundMetric.objects.filter(round=row, kind="held_out").order_by("step").values_list("step", "values")
    keep = ("held_out/loss", "held_out/rewards/accuracies", "held_out/winner_error_ratio", "held_out/loser_error_ratio", "held_out/motion_ratio")
    return {
        "gate": {name: row.gate[name] for name in ("promote", "reasons", "adversarial", "ordinary", "scenarios")},
        "value_head": row.value_head,
        "seconds": row.seconds,
        "alarms": row.alarms,
        "counts": row.snapshot.counts,
        "curve": [{"step": step, **{name: values.get(name) for name in keep}} for step, values in held_out],
    }


def best_of_runs(base: Any, child: Any, *, seed: int, by: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Choosing among N dreams by the value head, on the same episodes: `best_of`, the parent, whose head has seen no choice, against itself with
    one dream; `best_of_dpo`, the child with the head that its round has refreshed, against the parent with one; `best_of_round`, both with N."""
    from training.services.evaluations import evaluation_ensure
    from training.services.round_settings import SuiteSettings

    plain = evaluation_ensure(version=base, settings=SuiteSettings(**suite_settings(seed, options)))
    parent = played(base, seed=seed, by=by, options=options)
    found = {"best_of": compared(plain, parent)}
    if child is not None:
        grown = played(child, seed=seed, by=by, options=options)
        found |= {"best_of_dpo": compared(plain, grown), "best_of_round": compared(parent, grown)}
    return found


def played(version: Any, *, seed: int, by: Any, options: argparse.Namespace) -> Any:
    """The suite of this seed, played with the best of N dreams."""
    from training.models import Evaluation
    from training.services import evaluation_start

    row = evaluation_start(version=version, settings={**suite_settings(seed, options), "dreams": options.best_of}, created_by=by)
    if row.state != Evaluation.State.DONE:
        say(f"seed {seed}: {version.name} with the best of {options.best_of}")
        if row.job.state == "running":
            row.job = job_take_back(row.job)
        run_here(row.job)
        row.refresh_from_db()
    return row


def compared(before: Any, after: Any) -> dict[str, Any]:
    """As the gate compares, without a decision; empty if one has not been played to its end."""
    from training.learn.gate import compare
    from training.models import Evaluation

    if {before.state, after.state} != {Evaluation.State.DONE}:
        return {}
    pairs = paired(before, after)
    kinds = {kind: [pair for pair in pairs if pair.kind == kind] for kind in ("adversarial", "ordinary")}
    return {kind: {measure: compare(some, measure) for measure in ("contact", "success", "clean")} for kind, some in kinds.items()}


def paired(before: Any, after: Any) -> list[Any]:
    """Episodes of two evaluations of one suite and seed: their episodes are the same, whatever version played them with how many dreams."""
    from training.learn.gate import Outcome, Pair

    first = {row.index: row for row in before.episodes.all()}
    return [
        Pair(row.kind, row.scenario, Outcome(first[row.index].success, first[row.index].dog_contact), Outcome(row.success, row.dog_contact))
        for row in after.episodes.all()
    ]


if __name__ == "__main__":
    main()
