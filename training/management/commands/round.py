"""`manage.py round`: start a round, or follow one, from a terminal.

manage.py round --choices people --steps 300 --watch
manage.py round --follow 3
manage.py round --cancel 3        # and --resume 3; --override 3 --reason "..." promotes what the gate rejected
manage.py round --here            # without workers: the stages run in this process's children
"""

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from core.jobs import JobProblem
from core.models import Job
from rollouts.models import PolicyVersion, Scenario
from training.management.here import POLL_S, worker_here
from training.models import Round, RoundMetric
from training.selectors import post_training_words
from training.services import round_cancel, round_override, round_resume, round_start, rounds_reconcile


class Command(BaseCommand):
    help = "Start a round of post-training and, with --watch, follow it to its end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent", default="", help="name of the parent version; the active one if left out")
        parser.add_argument("--choices", choices=("all", "people", "simulated"), default="all", help="whose choices")
        parser.add_argument("--scenarios", default="", help="slugs, separated by commas; all if left out")
        parser.add_argument("--since", default="", help="only choices after this time (ISO 8601)")
        parser.add_argument("--weighting", choices=("model", "equal"), default="model")
        parser.add_argument("--with", dest="given", metavar="JSON", default="", help="JSON, or a file with JSON, as the API takes it; options win over it")
        parser.add_argument("--steps", type=int)
        parser.add_argument("--seed", type=int)
        parser.add_argument("--episodes", type=int, help="adversarial episodes of the gate, and as many ordinary ones")
        parser.add_argument("--name", default="")
        parser.add_argument("--note", default="")
        parser.add_argument("--no-promote", action="store_true", help="do not activate the child even if the gate says yes")
        parser.add_argument("--watch", action="store_true", help="follow it to its end; the exit code is 0 only if it was promoted")
        parser.add_argument("--here", action="store_true", help="run the stages from this process instead of a worker; follows it, too")
        parser.add_argument("--follow", type=int, metavar="ID", help="follow a round that is there instead of starting one")
        parser.add_argument("--cancel", type=int, metavar="ID", help="stop a round; what it has done is kept")
        parser.add_argument("--resume", type=int, metavar="ID", help="take a failed or cancelled round up from its last checkpoint; --watch follows it")
        parser.add_argument("--override", type=int, metavar="ID", help="promote the child that the gate rejected; needs --reason")
        parser.add_argument("--reason", default="", help="kept with the round and in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        acts = [name for name in ("follow", "cancel", "resume", "override") if options[name] is not None]
        if len(acts) > 1:
            raise CommandError(f"One thing at a time: --{' or --'.join(acts)}.")
        if acts:
            row = self.act(acts[0], options)
            if acts[0] in ("cancel", "override"):
                return
        else:
            row = self.start(options)
            self.stdout.write(f"round {row.pk}: {row.name}, from {row.parent.name}")
        if options["watch"] or options["here"] or options["follow"] is not None:
            row = self.follow(row, here=options["here"])
            self.report(row)
            if row.state != Round.State.PROMOTED:
                raise SystemExit(1)

    def act(self, name: str, options: dict[str, Any]) -> Round:
        """Follow, cancel, resume or override a round that is there."""
        row = Round.objects.filter(pk=options[name]).first()
        if row is None:
            raise CommandError(f"There is no round {options[name]}.")
        try:
            if name == "cancel":
                row = round_cancel(row=row, by=None, reason=options["reason"] or "manage.py round --cancel")
            elif name == "resume":
                row = round_resume(row=row, by=None)
            elif name == "override":
                row = round_override(row=row, by=None, reason=options["reason"])
        except JobProblem as error:
            raise CommandError(str(error)) from error
        if name != "follow":
            self.stdout.write(f"round {row.pk}: {row.name} is {row.get_state_display().lower()}")
        return row

    def start(self, options: dict[str, Any]) -> Round:
        name = options["parent"]
        parent = PolicyVersion.objects.filter(name=name).first() if name else PolicyVersion.objects.filter(is_active=True).first()
        if parent is None:
            raise CommandError(f"There is no version “{name}”." if name else "No version is active; name one with --parent.")
        settings = self.settings_of(options["given"])
        choices = dict(settings.get("choices") or {})
        if options["choices"] != "all":
            choices["simulated"] = options["choices"] == "simulated"
        if slugs := [slug for slug in options["scenarios"].split(",") if slug]:
            found = dict(Scenario.objects.filter(slug__in=slugs).values_list("slug", "pk"))
            if missing := [slug for slug in slugs if slug not in found]:
                raise CommandError(f"There is no scenario {', '.join(missing)}.")
            choices["scenarios"] = sorted(found.values())
        if options["since"]:
            choices["created_after"] = options["since"]
        dpo = {**(settings.get("dpo") or {}), **{key: options[key] for key in ("steps", "seed") if options[key] is not None}}
        suite = dict(settings.get("suite") or {})
        if options["episodes"] is not None:
            suite |= {"adversarial": options["episodes"], "ordinary": options["episodes"]}
        settings |= {"choices": choices, "weighting": options["weighting"], "dpo": dpo, "suite": suite}
        if options["no_promote"]:
            settings["auto_promote"] = False
        try:
            return round_start(parent=parent, settings=settings, name=options["name"], note=options["note"])
        except JobProblem as error:
            raise CommandError(str(error)) from error

    def settings_of(self, text: str) -> dict[str, Any]:
        if not text:
            return {}
        try:
            found = json.loads(Path(text).read_text() if not text.lstrip().startswith("{") else text)
        except (OSError, json.JSONDecodeError) as error:
            raise CommandError(f"--with is neither JSON nor a file with JSON: {error}") from error
        if not isinstance(found, dict):
            raise CommandError("--with must be a JSON object.")
        return found

    def follow(self, row: Round, *, here: bool) -> Round:
        """Bars of the stages until the round ends. Ctrl-C stops following; the round goes on (unless it runs here)."""
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=Console()) as progress:
            bars = {stage: progress.add_task(Round.Stage(stage).label, total=1.0, start=False, text="") for stage in Round.STAGES}
            with worker_here(here):
                while True:
                    row = Round.objects.select_related("job", "parent", "child").get(pk=row.pk)
                    self.draw(row, progress, bars)
                    if row.is_finished:
                        return row
                    if row.job and row.job.state in (Job.State.FAILED, Job.State.CANCELLED):
                        rounds_reconcile()
                    time.sleep(POLL_S)

    def draw(self, row: Round, progress: Progress, bars: dict[Any, Any]) -> None:
        at = Round.STAGES.index(row.stage)
        for index, stage in enumerate(Round.STAGES):
            done = index < at or row.state in (Round.State.PROMOTED, Round.State.REJECTED)
            if done:
                progress.start_task(bars[stage])
                progress.update(bars[stage], completed=1.0, text=f"{row.seconds.get(stage, 0):.0f} s")
            elif index == at and row.job:
                progress.start_task(bars[stage])
                last = RoundMetric.objects.filter(round=row, kind="held_out").order_by("-step").first() if stage == Round.Stage.POST_TRAIN else None
                loss = f" held-out loss {last.values['held_out/loss']:.3f}" if last and last.values.get("held_out/loss") is not None else ""
                progress.update(bars[stage], completed=row.job.progress, text=f"{row.job.progress_text}{loss}")

    def report(self, row: Round) -> None:
        self.stdout.write(f"{row.name}: {row.get_state_display().lower()} after {sum(row.seconds.values()) / 60:.1f} min of work")
        for line in (row.gate or {}).get("reasons", []):
            self.stdout.write(f"  {line}")
        if words := post_training_words(row):
            self.stdout.write(f"  {words}")
        for alarm in row.alarms:
            self.stdout.write(f"  alarm at step {alarm['step']}: {alarm['text']}")
        if row.error:
            self.stdout.write(f"  {row.error}")
