"""`manage.py evaluate`: see `training.learn.evaluate`, which needs no Django and also runs as `python -m training.learn.evaluate`."""

from training.management.module_command import ModuleCommand


class Command(ModuleCommand):
    module = "training.learn.evaluate"
