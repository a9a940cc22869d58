"""`manage.py collect`: see `training.learn.collect`, which needs no Django and also runs as `python -m training.learn.collect`."""

from training.management.module_command import ModuleCommand


class Command(ModuleCommand):
    module = "training.learn.collect"
