from training.models.evaluations import Episode, Evaluation
from training.models.rounds import Round, RoundMetric, RoundSchedule, RoundSnapshot

__all__ = ["Episode", "Evaluation", "Round", "RoundMetric", "RoundSchedule", "RoundSnapshot"]
