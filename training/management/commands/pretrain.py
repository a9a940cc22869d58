"""`manage.py pretrain`: see `training.learn.pretrain`, which needs no Django and also runs as `python -m training.learn.pretrain`."""

from training.management.module_command import ModuleCommand


class Command(ModuleCommand):
    module = "training.learn.pretrain"
