"""Tables of the labeling app, grouped by what they are about."""

from .annotator import AnnotatorEstimate, AnnotatorProfile, Exclusion
from .choice import Choice, Skip, Undo
from .comparison import Comparison, Lease
from .features import RolloutFeatures
from .project import CRITERIA_DEFAULT, Project
from .webhook import Webhook, WebhookDelivery

__all__ = [
    "CRITERIA_DEFAULT",
    "AnnotatorEstimate",
    "AnnotatorProfile",
    "Choice",
    "Comparison",
    "Exclusion",
    "Lease",
    "Project",
    "RolloutFeatures",
    "Skip",
    "Undo",
    "Webhook",
    "WebhookDelivery",
]
