"""The rows behind every dreamed pixel: scenario -> start frame -> rollout, under a policy version."""

from rollouts.models.frames import StartFrame
from rollouts.models.mining import MiningCandidate, MiningRun, Verification
from rollouts.models.policy_versions import PolicyVersion
from rollouts.models.rollouts import Rollout
from rollouts.models.scenarios import SavedView, Scenario, ScenarioVersion

__all__ = [
    "MiningCandidate",
    "MiningRun",
    "PolicyVersion",
    "Rollout",
    "SavedView",
    "Scenario",
    "ScenarioVersion",
    "StartFrame",
    "Verification",
]
