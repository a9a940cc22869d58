"""What changes data: keyword-only functions, one per act. Reads are in `training.selectors`."""

from training.services.errors import TrainingError
from training.services.evaluations import evaluation_run, evaluation_start
from training.services.rounds import (
    round_cancel,
    round_fail,
    round_override,
    round_resume,
    round_start,
    rounds_reconcile,
    version_rollback,
)
from training.services.schedules import round_schedule_save, round_schedule_switch, round_schedules_run
from training.services.stages import stage_run

__all__ = [
    "TrainingError",
    "evaluation_run",
    "evaluation_start",
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
