from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from core.events import topic_access
        from core.people import has_role
        from rollouts import closed_loop
        from training.closed_loop import run

        closed_loop.register(run)
        for prefix in ("round", "evaluation"):
            topic_access(prefix, lambda user, rest: has_role(user, "researcher"))
