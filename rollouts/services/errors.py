"""The errors that a person can do something about."""

from core.jobs import JobProblem


class RolloutsError(JobProblem):
    """An act that the rules forbid. `str()` is a whole sentence for the person who tried.

    Being a JobProblem, it ends a job with that sentence instead of a traceback, and without further attempts.

    code: a stable word for programs ("frame_not_approved", "version_active", ...).
    """

    def __init__(self, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.code = code
