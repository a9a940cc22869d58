"""What `killed_stage` has loaded before it forks."""

import django

django.setup()

import transformers.models.bert.modeling_bert  # noqa: E402, F401

import training.services.stages  # noqa: E402, F401
