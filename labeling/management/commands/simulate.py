"""manage.py simulate: simulated annotators answer pairs of the running installation, through its HTTP API."""

from __future__ import annotations

from pathlib import Path

import httpx
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labeling.services.simulation import judge_load, simulation_run
from labeling.simulate import Teacher


class Command(BaseCommand):
    help = (
        "Simulated annotators judge pairs from their pixels and answer through the HTTP API of the running server. Their accounts and all of "
        "their choices are marked as simulated, and can be filtered out everywhere."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("--annotators", type=int, default=3, help="how many answer at once (default %(default)s)")
        parser.add_argument("--choices", type=int, help="answers in all (default 100, unless --seconds is given)")
        parser.add_argument("--seconds", type=float, help="stop after this long")
        parser.add_argument("--mistake", type=float, default=0.1, help="chance of the opposite answer (default %(default)s)")
        parser.add_argument("--equal", type=float, default=0.1, help="utilities closer than this are a tie (default %(default)s)")
        parser.add_argument("--skip", type=float, default=0.1, help="chance to pass a pair over (default %(default)s)")
        parser.add_argument("--myopic", type=float, default=0.0, help="how much the end outweighs the beginning, 0..1 (default %(default)s)")
        parser.add_argument("--beta", type=float, help="rationality; without it the better one is always picked")
        parser.add_argument("--left-bias", type=float, default=0.0, help="chance of answering left whatever is shown (default %(default)s)")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--prefix", default="simulated", help="user names are PREFIX-1, PREFIX-2, ... (default %(default)s)")
        parser.add_argument("--url", help="where the server is (default DREAMFORK_URL)")
        parser.add_argument("--weights", type=Path, help="directory of the weights whose probe is the judge's eyes (default: the shipped ones)")
        parser.add_argument("--in-process", action="store_true", help="through the same HTTP stack in this process, while no server runs")
        parser.add_argument("--wait", action="store_true", help="keep asking when there is nothing left to answer")

    def handle(self, *args, **options) -> None:
        if options["annotators"] < 1:
            raise CommandError("--annotators is at least 1.")
        choices = options["choices"] if options["choices"] or options["seconds"] else 100
        try:
            teacher = Teacher(**{name: options[name] for name in ("mistake", "equal", "skip", "myopic", "beta", "left_bias")})
            judge = judge_load(weights=options["weights"])
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        with tqdm(total=choices, unit="choice", disable=options["verbosity"] == 0 or not self.stderr.isatty()) as bar:
            try:
                simulation = simulation_run(
                    judge=judge, teacher=teacher, annotators=options["annotators"], choices=choices, seconds=options["seconds"],
                    url=options["url"], in_process=options["in_process"], seed=options["seed"], prefix=options["prefix"],
                    wait=options["wait"], progress=lambda done: bar.update(done - bar.n),
                )  # fmt: skip
            except httpx.HTTPStatusError as error:
                raise CommandError(f"The server refused: {_refusal(error.response)}") from error
            except (httpx.HTTPError, TimeoutError) as error:
                raise CommandError(f"{error} Is the server running? `manage.py up` starts it; --url says where it is.") from error
            except (ValueError, PermissionError) as error:
                raise CommandError(str(error)) from error
        skipped = sum(outcome.skipped for outcome in simulation.outcomes.values())
        stopped = {outcome.stopped for outcome in simulation.outcomes.values() if outcome.stopped}
        self.stdout.write(
            f"{simulation.answered} choices by {options['annotators']} simulated annotators in {simulation.seconds:.1f} s, {skipped} skipped"
            + (f"; stopped: {', '.join(sorted(stopped))}" if stopped else "")
        )


def _refusal(response: httpx.Response) -> str:
    """Status, what was asked for, and the reason that the server gave."""
    try:
        reason = str(response.json().get("detail", ""))
    except (ValueError, AttributeError):
        reason = ""
    return f"{response.status_code} for {response.request.url.path}. {reason}".strip()
