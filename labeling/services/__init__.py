"""Everything that changes labeling's rows. Views, tasks and commands call exactly one of these."""

from .annotators import (
    annotator_exclude,
    annotator_profile,
    annotator_retry_qualification,
    annotator_waive_qualification,
    exclusion_lift,
    guide_mark_read,
    preferences_save,
)
from .choices import choice_submit, choice_undo, lease_skip
from .comparisons import comparison_create, comparison_make_gold, comparison_retire, comparison_unflag, comparisons_create
from .estimates import annotator_estimates_fit
from .leases import leases_expire, leases_heartbeat, leases_next, leases_return
from .pairs import comparisons_make_ahead
from .project import project_save
from .webhooks import webhook_create, webhook_switch, webhooks_deliver

__all__ = [
    "annotator_estimates_fit",
    "annotator_exclude",
    "annotator_profile",
    "annotator_retry_qualification",
    "annotator_waive_qualification",
    "choice_submit",
    "choice_undo",
    "comparison_create",
    "comparison_make_gold",
    "comparison_retire",
    "comparison_unflag",
    "comparisons_create",
    "comparisons_make_ahead",
    "exclusion_lift",
    "guide_mark_read",
    "lease_skip",
    "leases_expire",
    "leases_heartbeat",
    "leases_next",
    "leases_return",
    "preferences_save",
    "project_save",
    "webhook_create",
    "webhook_switch",
    "webhooks_deliver",
]
