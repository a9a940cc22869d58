"""The start page: what there is to do for each of the person's roles."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse

from core.models import Job
from core.people import ADMIN, RESEARCHER, PersonRequest, has_role
from core.selectors import jobs_visible, stuck_queues

# (role, title, what it is for, url name); a page whose app is not installed is left out.
_DOORS = [
    ("annotator", "Compare rollouts", "Two dreams of the same start. Pick the better one.", "labeling:compare"),
    ("annotator", "Read the guide", "What to look for, with examples.", "labeling:guide"),
    ("annotator", "Your statistics", "Count, pace and how steady your answers are.", "labeling:stats"),
    ("researcher", "Rollouts", "Sample futures from approved start frames and look at them.", "rollouts:rollouts"),
    ("researcher", "Rounds", "Turn choices into a better policy, and prove it.", "training:rounds"),
    ("researcher", "Policy versions", "The tree of weights: where each came from, which one is in use.", "training:versions"),
    ("researcher", "Evaluations", "Episodes in a world with real physics, with intervals.", "training:evaluations"),
    ("admin", "Scenarios", "Write, vary and retire what the robot is put through.", "rollouts:scenarios"),
    ("admin", "Start frames", "Approve the images that rollouts start from.", "rollouts:start_frames"),
    ("admin", "Mining", "Search for start frames where the policy fails.", "rollouts:mining"),
    ("admin", "Annotators", "Agreement, pace and weight of each annotator.", "labeling:quality"),
    ("admin", "People", "Roles and sign-in links.", "core:people"),
    ("admin", "Audit log", "Who did what, and what it was before.", "core:audit"),
]


@login_required
def home(request: PersonRequest) -> HttpResponse:
    held = request.user.roles()
    if not held:
        return render(request, "core/no_role.html")
    doors: dict[str, list[dict[str, str]]] = {}
    for role, title, text, name in _DOORS:
        if role not in held:
            continue
        try:
            doors.setdefault(role, []).append({"title": title, "text": text, "url": reverse(name)})
        except NoReverseMatch:
            continue
    jobs = jobs_visible(user=request.user)
    context = {
        "doors": doors,
        "running": jobs.filter(state__in=[Job.State.QUEUED, Job.State.RUNNING])[:8],
        "failed": jobs.filter(state=Job.State.FAILED)[:3],
        "stuck": stuck_queues() if has_role(request.user, ADMIN, RESEARCHER) else [],  # nobody else can start a worker
    }
    return render(request, "core/home.html", context)
