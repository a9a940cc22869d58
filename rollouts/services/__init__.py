"""What changes data: keyword-only functions, one per act. Reads are in `rollouts.selectors`."""

from rollouts.services.errors import RolloutsError
from rollouts.services.frames import (
    start_frame_capture,
    start_frame_continue,
    start_frame_create,
    start_frame_upload,
    start_frames_imagine,
    start_frames_probe,
    start_frames_review,
)
from rollouts.services.interchange import scenarios_export, scenarios_import
from rollouts.services.mining import (
    mining_candidate_accept,
    mining_candidate_decline,
    mining_candidates_decide,
    mining_run,
    mining_start,
    mining_verify,
    mining_verify_start,
)
from rollouts.services.rollouts import rollouts_sample, rollouts_sample_many
from rollouts.services.scenarios import (
    TRANSITIONS,
    content_of,
    scenario_create,
    scenario_duplicate,
    scenario_edit,
    scenario_set_state,
    scenario_vary,
    scenarios_set_state,
)
from rollouts.services.verification import scenario_verify
from rollouts.services.versions import (
    base_version_ensure,
    frame_size,
    policy_load,
    policy_version_activate,
    policy_version_create,
    policy_version_materialize,
    policy_version_record_metrics,
    policy_version_set_state,
)

__all__ = [
    "TRANSITIONS",
    "RolloutsError",
    "base_version_ensure",
    "content_of",
    "frame_size",
    "mining_candidate_accept",
    "mining_candidate_decline",
    "mining_candidates_decide",
    "mining_run",
    "mining_start",
    "mining_verify",
    "mining_verify_start",
    "policy_load",
    "policy_version_activate",
    "policy_version_create",
    "policy_version_materialize",
    "policy_version_record_metrics",
    "policy_version_set_state",
    "rollouts_sample",
    "rollouts_sample_many",
    "scenario_create",
    "scenario_duplicate",
    "scenario_edit",
    "scenario_set_state",
    "scenario_vary",
    "scenario_verify",
    "scenarios_export",
    "scenarios_import",
    "scenarios_set_state",
    "start_frame_capture",
    "start_frame_continue",
    "start_frame_create",
    "start_frame_upload",
    "start_frames_imagine",
    "start_frames_probe",
    "start_frames_review",
]
