"""How a running job ends other than by returning."""


class JobCancelled(Exception):
    """Someone asked the job to stop. Handlers let it pass (after cleaning up)."""


class JobLeaseLost(Exception):
    """Another attempt owns the job by now: this one must not write any more."""


class JobProblem(Exception):
    """The job cannot be done, and trying again would not help. The message is shown to the person who asked."""


class JobRetry(Exception):
    """Something passing is in the way: try again later, up to the job's number of attempts."""
