"""What changes data: keyword-only functions, one per act. Reads are in `training.selectors`."""

from typing import Any

from training.services.errors import TrainingError
from training.services.evaluations import evaluation_run, evaluation_start, evaluations_reconcile
from training.services.rounds import (
    next_rollouts_run,
    round_cancel,
    round_fail,
    round_override,
    round_resume,
    round_start,
    rounds_reconcile,
    version_rollback,
)
from training.services.schedules import round_schedule_save, round_schedule_switch, round_schedules_run

__all__ = [
    "TrainingError",
    "evaluation_run",
    "evaluation_start",
    "evaluations_reconcile",
    "next_rollouts_run",
    "round_cancel",
    "round_fail",
    "round_override",
    "round_resume",
    "round_schedule_save",
    "round_schedule_switch",
    "round_schedules_run",
    "round_start",
    "rounds_reconcile",
    "stage_run",
    "version_rollback",
]


def stage_run(**arguments: Any) -> dict[str, Any]:
    """See `training.services.stages`. It is imported when a stage runs: torch takes seconds that pages and commands can do without."""
    from training.services import stages

    return stages.stage_run(**arguments)
