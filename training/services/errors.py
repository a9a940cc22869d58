"""The errors that a person can do something about."""

from core.jobs import JobProblem


class TrainingError(JobProblem):
    """An act that the rules forbid, or a round that can not go on. `str()` is a whole sentence for the person.

    Being a JobProblem, it ends a job with that sentence and without further attempts.

    code: a stable word for programs ("too_few_choices", "round_finished", ...).
    """

    def __init__(self, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.code = code
