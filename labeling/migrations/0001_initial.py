import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import labeling.models.project
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('rollouts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AnnotatorProfile',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='labeling_profile', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('is_simulated', models.BooleanField(default=False)),
                ('simulation', models.JSONField(blank=True, default=dict, help_text='B-Pref parameters and seed of a simulated one.')),
                ('guide_read_at', models.DateTimeField(blank=True, null=True)),
                ('qualification', models.CharField(choices=[('none', 'Not yet'), ('passed', 'Passed'), ('failed', 'Failed'), ('waived', 'Waived by an admin')], default='none', max_length=8)),
                ('qualified_at', models.DateTimeField(blank=True, null=True)),
                ('preferences', models.JSONField(blank=True, default=dict)),
                ('cursor_priority', models.FloatField(blank=True, null=True)),
                ('cursor_id', models.BigIntegerField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('active', 'Active'), ('answered', 'Answered'), ('skipped', 'Skipped'), ('returned', 'Returned'), ('expired', 'Expired'), ('undone', 'Undone')], default='active', max_length=8)),
                ('swapped', models.BooleanField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='leases', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('state', 'active')), fields=['expires_at'], name='labeling_lease_expiry'), models.Index(condition=models.Q(('state', 'active')), fields=['annotator', 'created_at'], name='labeling_lease_held')],
            },
        ),
        migrations.CreateModel(
            name='RolloutFeatures',
            fields=[
                ('rollout', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='rollouts.rollout')),
                ('recipe', models.PositiveSmallIntegerField(help_text='Version of the feature recipe; others are recomputed.')),
                ('vector', django.contrib.postgres.fields.ArrayField(base_field=models.FloatField(), size=None)),
            ],
        ),
        migrations.CreateModel(
            name='Comparison',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('normal', 'Normal'), ('gold', 'Gold'), ('repeat', 'Repeat')], default='normal', max_length=8)),
                ('state', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('retired', 'Retired')], default='open', max_length=8)),
                ('strategy', models.CharField(help_text='How the pair was chosen.', max_length=32)),
                ('reason', models.CharField(blank=True, help_text='Why this pair, in words.', max_length=500)),
                ('priority', models.FloatField(default=0.0, help_text='Higher is served first.')),
                ('required_overlap', models.PositiveSmallIntegerField(default=1)),
                ('answered', models.PositiveIntegerField(default=0)),
                ('leased', models.PositiveIntegerField(default=0)),
                ('free_slots', models.GeneratedField(db_persist=True, expression=django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('required_overlap'), '-', models.F('answered')), '-', models.F('leased')), output_field=models.IntegerField())),
                ('gold_answer', models.CharField(blank=True, choices=[('a', 'A is better'), ('b', 'B is better'), ('tie', 'Tie'), ('both_bad', 'Both bad')], max_length=8, null=True)),
                ('gold_note', models.CharField(blank=True, help_text='Shown after a qualifying answer.', max_length=500)),
                ('qualifying', models.BooleanField(default=False, help_text='A gold pair of the qualifying set.')),
                ('flagged_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('only_for', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('repeat_of', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='repeats', to='labeling.comparison')),
                ('rollout_a', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='rollouts.rollout')),
                ('rollout_b', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='rollouts.rollout')),
                ('start_frame', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='rollouts.startframe')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('free_slots__gt', 0), ('kind', 'normal'), ('state', 'open')), fields=['priority', 'id'], name='labeling_queue'), models.Index(condition=models.Q(('kind', 'gold')), fields=['id'], name='labeling_gold'), models.Index(condition=models.Q(('flagged_at__isnull', False)), fields=['flagged_at'], name='labeling_flagged')],
                'constraints': [models.CheckConstraint(condition=models.Q(('rollout_a__lt', models.F('rollout_b'))), name='labeling_comparison_a_before_b'), models.CheckConstraint(condition=models.Q(('required_overlap__gte', 1)), name='labeling_comparison_overlap_positive'), models.CheckConstraint(condition=models.Q(models.Q(('kind', 'normal'), _negated=True), ('leased__lte', models.F('required_overlap')), _connector='OR'), name='labeling_comparison_not_overleased'), models.CheckConstraint(condition=models.Q(models.Q(('gold_answer__isnull', False), ('kind', 'gold')), models.Q(models.Q(('kind', 'gold'), _negated=True), ('gold_answer__isnull', True)), _connector='OR'), name='labeling_comparison_gold_has_answer'), models.CheckConstraint(condition=models.Q(models.Q(('kind', 'repeat'), ('only_for__isnull', False), ('repeat_of__isnull', False)), models.Q(models.Q(('kind', 'repeat'), _negated=True), ('only_for__isnull', True), ('repeat_of__isnull', True)), _connector='OR'), name='labeling_comparison_repeat_is_of_one'), models.CheckConstraint(condition=models.Q(('qualifying', False), ('kind', 'gold'), _connector='OR'), name='labeling_comparison_qualifying_is_gold'), models.UniqueConstraint(condition=models.Q(('kind', 'repeat'), _negated=True), fields=('rollout_a', 'rollout_b'), name='labeling_comparison_pair_once'), models.UniqueConstraint(condition=models.Q(('kind', 'repeat')), fields=('repeat_of', 'only_for'), name='labeling_comparison_repeat_once')],
            },
        ),
        migrations.CreateModel(
            name='Exclusion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_at', models.DateTimeField()),
                ('until_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.TextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='label_exclusions', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lifted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(condition=models.Q(('lifted_at__isnull', True)), fields=['annotator', 'from_at'], name='labeling_exclusion_live')],
                'constraints': [models.CheckConstraint(condition=models.Q(('until_at__isnull', True), ('until_at__gt', models.F('from_at')), _connector='OR'), name='labeling_exclusion_ends_after_it_starts'), models.CheckConstraint(condition=models.Q(models.Q(('lifted_at__isnull', True), ('lifted_by__isnull', True)), models.Q(('lifted_at__isnull', False), ('lifted_by__isnull', False)), _connector='OR'), name='labeling_exclusion_lifted_by_someone')],
            },
        ),
        migrations.CreateModel(
            name='Skip',
            fields=[
                ('lease', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='skip', serialize=False, to='labeling.lease')),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('flag', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.AddField(
            model_name='lease',
            name='comparison',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='leases', to='labeling.comparison'),
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('criteria', models.JSONField(blank=True, default=labeling.models.project.criteria_default, help_text='Asked on every pair, each optional: a list of {key, label}.')),
                ('ask_strength', models.BooleanField(default=True, help_text='Offer 1..3: slightly, clearly, far better.')),
                ('ask_success', models.BooleanField(default=True, help_text='Offer a success flag for each rollout.')),
                ('required_overlap', models.PositiveSmallIntegerField(default=1, help_text='How many different annotators answer a new comparison.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(50)])),
                ('lease_seconds', models.PositiveIntegerField(default=120, help_text='A lease without a heartbeat for this long is given to someone else.', validators=[django.core.validators.MinValueValidator(10), django.core.validators.MaxValueValidator(3600)])),
                ('gold_share', models.FloatField(default=0.05, help_text='Share of assignments that are gold pairs (known answer).', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(0.5)])),
                ('repeat_share', models.FloatField(default=0.05, help_text='Share of assignments that repeat an earlier pair with its sides swapped.', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(0.5)])),
                ('repeat_after', models.PositiveIntegerField(default=20, help_text='A pair is repeated only after this many other answers, so that it is not remembered.')),
                ('qualifying_pairs', models.PositiveSmallIntegerField(default=6, help_text='Gold pairs a new annotator answers first; 0 switches the qualifying set off.')),
                ('qualifying_accuracy', models.FloatField(default=0.7, help_text='Needed to pass.', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)])),
                ('break_after_minutes', models.PositiveSmallIntegerField(default=30, help_text='Suggest a break after this long.')),
                ('too_fast_ms', models.PositiveIntegerField(default=1200, help_text='Faster answers are flagged.')),
                ('pair_strategy', models.CharField(choices=[('uniform', 'Uniform'), ('value_uncertainty', 'Uncertainty of the value head'), ('disagreement', 'Disagreement of an ensemble'), ('information_gain', 'Information gain with feature diversity')], default='information_gain', max_length=32)),
                ('pair_pool', models.PositiveIntegerField(default=256, help_text='Candidate pairs drawn per chosen batch.', validators=[django.core.validators.MinValueValidator(2)])),
                ('cross_version_share', models.FloatField(default=0.5, help_text='Share of candidate pairs whose two rollouts come from different policy versions, where there are any.', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)])),
                ('queue_ahead', models.PositiveIntegerField(default=200, help_text='Unanswered places that the queue is kept filled to while rollouts exist.')),
                ('supply_seen', models.JSONField(blank=True, default=dict, editable=False, help_text='What the last search that found no new pair had looked at.')),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='labeling_project_is_one_row')],
            },
        ),
        migrations.CreateModel(
            name='Undo',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Choice',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('answer', models.CharField(choices=[('a', 'A is better'), ('b', 'B is better'), ('tie', 'Tie'), ('both_bad', 'Both bad'), ('cant_tell', "Can't tell")], max_length=9)),
                ('side', models.CharField(choices=[('left', 'Left'), ('right', 'Right'), ('neither', 'Neither')], max_length=7)),
                ('strength', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('criteria', models.JSONField(blank=True, default=dict, help_text='{key: "a"|"b"|"both"|"neither"}')),
                ('success_a', models.BooleanField(blank=True, null=True)),
                ('success_b', models.BooleanField(blank=True, null=True)),
                ('segments', models.JSONField(blank=True, default=list, help_text='[{"side": "a"|"b", "from": i, "to": j}], frames in which that side is worse')),
                ('rationale', models.TextField(blank=True)),
                ('response_ms', models.PositiveIntegerField(default=0)),
                ('replays', models.PositiveIntegerField(default=0)),
                ('visible_ms', models.PositiveIntegerField(default=0)),
                ('client_meta', models.JSONField(blank=True, default=dict)),
                ('request_hash', models.CharField(max_length=64)),
                ('is_simulated', models.BooleanField(default=False)),
                ('late', models.BooleanField(default=False, help_text='Accepted after its lease had run out.')),
                ('created_at', models.DateTimeField()),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='choices', to=settings.AUTH_USER_MODEL)),
                ('comparison', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='choices', to='labeling.comparison')),
                ('lease', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='choices', to='labeling.lease')),
                ('undone_by', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='choice', to='labeling.undo')),
            ],
            options={
                'indexes': [models.Index(fields=['created_at', 'id'], name='labeling_choice_order'), models.Index(fields=['annotator', '-created_at'], name='labeling_choice_by_annotator')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('undone_by__isnull', True)), fields=('annotator', 'comparison'), name='labeling_choice_one_live'), models.UniqueConstraint(condition=models.Q(('undone_by__isnull', True)), fields=('lease',), name='labeling_choice_one_per_lease'), models.CheckConstraint(condition=models.Q(('strength__isnull', True), models.Q(('strength__gte', 1), ('strength__lte', 3)), _connector='OR'), name='labeling_choice_strength_1_to_3'), models.CheckConstraint(condition=models.Q(models.Q(('answer__in', ['a', 'b']), ('side__in', ['left', 'right'])), models.Q(('answer__in', ['tie', 'both_bad', 'cant_tell']), ('side', 'neither')), _connector='OR'), name='labeling_choice_side_fits_answer')],
            },
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('url', models.URLField(max_length=500)),
                ('secret', models.CharField(max_length=80)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('is_active', models.BooleanField(default=True)),
                ('include_simulated', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('event', models.CharField(max_length=40)),
                ('payload', models.JSONField()),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'Failed')], default='pending', max_length=9)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField()),
                ('response_status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('delivered_at', models.DateTimeField(blank=True, null=True)),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='labeling.webhook')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('state', 'pending')), fields=['next_attempt_at'], name='labeling_webhook_due')],
            },
        ),
        migrations.CreateModel(
            name='AnnotatorEstimate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fitted_at', models.DateTimeField()),
                ('skill', models.FloatField(help_text='Share of answers that follow the pair rather than a side, 0..1.')),
                ('left_bias', models.FloatField(help_text='Chance of left when the answer does not follow the pair, 0..1; 0.5 is fair.')),
                ('weight', models.FloatField(help_text="Weight of this annotator's choices in a round, 0..1.")),
                ('choices', models.PositiveIntegerField(help_text='Choices that the fit saw.')),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='label_estimates', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('annotator', 'fitted_at'), name='labeling_estimate_once_per_fit'), models.CheckConstraint(condition=models.Q(('left_bias__gte', 0), ('left_bias__lte', 1), ('skill__gte', 0), ('skill__lte', 1), ('weight__gte', 0), ('weight__lte', 1)), name='labeling_estimate_in_range')],
            },
        ),
        migrations.AddField(
            model_name='skip',
            name='annotator',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='skip',
            name='comparison',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='skips', to='labeling.comparison'),
        ),
        migrations.AddConstraint(
            model_name='lease',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['active', 'answered', 'skipped'])), fields=('annotator', 'comparison'), name='labeling_lease_one_turn'),
        ),
        migrations.AddConstraint(
            model_name='lease',
            constraint=models.UniqueConstraint(fields=('id', 'annotator', 'comparison'), name='labeling_lease_identity'),
        ),
        migrations.AddIndex(
            model_name='skip',
            index=models.Index(fields=['annotator', '-created_at'], name='labeling_skip_by_annotator'),
        ),
    ]
