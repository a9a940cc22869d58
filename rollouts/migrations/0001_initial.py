import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PolicyVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('state', models.CharField(choices=[('candidate', 'Candidate'), ('promoted', 'Promoted'), ('rejected', 'Rejected'), ('retired', 'Retired')], db_index=True, default='candidate', max_length=16)),
                ('is_active', models.BooleanField(default=False)),
                ('components', models.JSONField()),
                ('lineage', models.JSONField(blank=True, default=dict)),
                ('metrics', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='rollouts.policyversion')),
            ],
            options={
                'ordering': ['-created_at', '-id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('is_active',), name='policy_version_one_active'), models.CheckConstraint(condition=models.Q(('state__in', ['candidate', 'promoted', 'rejected', 'retired'])), name='policy_version_state_known'), models.CheckConstraint(condition=models.Q(('is_active', False), ('state', 'promoted'), _connector='OR'), name='policy_version_active_is_promoted')],
            },
        ),
        migrations.CreateModel(
            name='MiningRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('options', models.JSONField(default=dict)),
                ('summary', models.JSONField(blank=True, default=dict)),
                ('trigger', models.CharField(default='page', max_length=20)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.job')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='mining_runs', to='rollouts.policyversion')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('page', models.CharField(choices=[('scenarios', 'Scenarios'), ('start_frames', 'Start frames'), ('rollouts', 'Rollouts')], max_length=20)),
                ('name', models.CharField(max_length=60)),
                ('query', models.CharField(blank=True, max_length=1000)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('owner', 'page', 'name'), name='saved_view_name_unique')],
            },
        ),
        migrations.CreateModel(
            name='Scenario',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=80, unique=True)),
                ('name', models.CharField(max_length=120)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('active', 'Active'), ('retired', 'Retired')], db_index=True, default='draft', max_length=16)),
                ('origin', models.CharField(choices=[('authored', 'Written by a person'), ('duplicated', 'Duplicated'), ('varied', 'Varied over a grid of factors'), ('imported', 'Imported'), ('mined', 'Found by mining'), ('demo', 'Demo content')], default='authored', max_length=16)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('derived_from', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='derived', to='rollouts.scenario')),
            ],
            options={
                'ordering': ['-updated_at', '-id'],
                'indexes': [models.Index(fields=['-updated_at', '-id'], name='scenario_recent')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['draft', 'active', 'retired'])), name='scenario_state_known')],
            },
        ),
        migrations.CreateModel(
            name='ScenarioVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('prompt', models.CharField(max_length=300)),
                ('scene_text', models.TextField(max_length=1000)),
                ('factors', models.JSONField(default=dict)),
                ('tags', models.JSONField(blank=True, default=list)),
                ('severity', models.PositiveSmallIntegerField(default=3, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(5)])),
                ('behaviours', models.TextField(blank=True, default='')),
                ('notes', models.TextField(blank=True, default='')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('scenario', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='rollouts.scenario')),
            ],
            options={
                'ordering': ['scenario_id', '-number'],
                'constraints': [models.UniqueConstraint(fields=('scenario', 'number'), name='scenario_version_number_unique'), models.CheckConstraint(condition=models.Q(('severity__gte', 1), ('severity__lte', 5)), name='scenario_version_severity_1_to_5'), models.CheckConstraint(condition=models.Q(('prompt', ''), _negated=True), name='scenario_version_has_prompt')],
            },
        ),
        migrations.CreateModel(
            name='StartFrame',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(choices=[('generated', 'Generated'), ('captured', 'Captured'), ('uploaded', 'Uploaded')], max_length=16)),
                ('width', models.PositiveSmallIntegerField()),
                ('height', models.PositiveSmallIntegerField()),
                ('seed', models.BigIntegerField(blank=True, null=True)),
                ('scene_text', models.TextField(blank=True, default='', max_length=1000)),
                ('world_spec', models.JSONField(blank=True, null=True)),
                ('state', models.CharField(choices=[('proposed', 'To review'), ('approved', 'Approved'), ('rejected', 'Rejected'), ('flagged', 'Flagged')], default='proposed', max_length=16)),
                ('reason', models.CharField(blank=True, default='', max_length=300)),
                ('phash', models.BigIntegerField()),
                ('probe', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('reviewed_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('image', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('policy_version', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='start_frames', to='rollouts.policyversion')),
                ('reviewed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('scenario_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='start_frames', to='rollouts.scenarioversion')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['scenario_version', 'state', '-id'], name='start_frame_by_version'), models.Index(fields=['state', '-id'], name='start_frame_by_state'), models.Index(fields=['source', '-id'], name='start_frame_by_source')],
                'constraints': [models.UniqueConstraint(fields=('scenario_version', 'image'), name='start_frame_image_once'), models.CheckConstraint(condition=models.Q(('state__in', ['proposed', 'approved', 'rejected', 'flagged'])), name='start_frame_state_known'), models.CheckConstraint(condition=models.Q(('source__in', ['generated', 'captured', 'uploaded'])), name='start_frame_source_known'), models.CheckConstraint(condition=models.Q(('state__in', ['proposed', 'approved']), models.Q(('reason', ''), _negated=True), _connector='OR'), name='start_frame_refusal_has_reason'), models.CheckConstraint(condition=models.Q(('state', 'proposed'), ('reviewed_at__isnull', False), _connector='OR'), name='start_frame_review_has_time'), models.CheckConstraint(condition=models.Q(('world_spec__isnull', True), ('source', 'captured'), _connector='OR'), name='start_frame_spec_only_captured'), models.CheckConstraint(condition=models.Q(('height__gte', 16), ('width__gte', 16)), name='start_frame_size_at_least_16')],
            },
        ),
        migrations.CreateModel(
            name='Rollout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('prompt', models.CharField(max_length=300)),
                ('seed', models.BigIntegerField()),
                ('sampler', models.JSONField(blank=True, default=dict)),
                ('sampler_hash', models.CharField(max_length=64)),
                ('frame_count', models.PositiveSmallIntegerField()),
                ('fps', models.FloatField()),
                ('width', models.PositiveSmallIntegerField()),
                ('height', models.PositiveSmallIntegerField()),
                ('actions', models.JSONField()),
                ('path', models.JSONField()),
                ('path_pixels', models.JSONField()),
                ('verdict', models.JSONField()),
                ('accepted', models.BooleanField()),
                ('value', models.FloatField()),
                ('success', models.FloatField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('latents', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rollouts', to='rollouts.policyversion')),
                ('sprite', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('start_frame', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rollouts', to='rollouts.startframe')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['start_frame', 'policy_version', 'accepted'], name='rollout_by_frame'), models.Index(fields=['policy_version', '-id'], name='rollout_by_version')],
                'constraints': [models.UniqueConstraint(fields=('start_frame', 'policy_version', 'prompt', 'seed', 'sampler_hash'), name='rollout_sampled_once'), models.UniqueConstraint(fields=('id', 'start_frame'), name='rollout_id_start_frame'), models.CheckConstraint(condition=models.Q(('frame_count__gte', 2)), name='rollout_has_a_future'), models.CheckConstraint(condition=models.Q(('success__gte', 0), ('success__lte', 1)), name='rollout_success_0_to_1')],
            },
        ),
        migrations.CreateModel(
            name='MiningCandidate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cell', models.CharField(max_length=200)),
                ('prompt', models.CharField(max_length=300)),
                ('world_spec', models.JSONField()),
                ('objective', models.FloatField()),
                ('evidence', models.JSONField(default=dict)),
                ('state', models.CharField(choices=[('evaluated', 'Evaluated'), ('proposed', 'Proposed'), ('accepted', 'Accepted'), ('declined', 'Declined')], default='evaluated', max_length=16)),
                ('real', models.JSONField(blank=True, null=True)),
                ('reviewed_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('image', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('reviewed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('strip', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='candidates', to='rollouts.miningrun')),
                ('start_frame', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='mined_from', to='rollouts.startframe')),
            ],
            options={
                'ordering': ['-objective', 'id'],
                'indexes': [models.Index(fields=['run', '-objective'], name='candidate_by_objective'), models.Index(fields=['state', '-objective'], name='candidate_by_state'), models.Index(fields=['cell'], name='candidate_by_cell')],
                'constraints': [models.CheckConstraint(condition=models.Q(('objective__gte', 0), ('objective__lte', 1)), name='candidate_objective_0_to_1'), models.CheckConstraint(condition=models.Q(models.Q(('start_frame__isnull', False), ('state', 'accepted')), models.Q(models.Q(('state', 'accepted'), _negated=True), ('start_frame__isnull', True)), _connector='OR'), name='candidate_accepted_has_frame')],
            },
        ),
        migrations.CreateModel(
            name='Verification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('dreamed_n', models.PositiveIntegerField()),
                ('dreamed_failures', models.PositiveIntegerField()),
                ('real_n', models.PositiveIntegerField()),
                ('real_failures', models.PositiveIntegerField()),
                ('real_contacts', models.PositiveIntegerField(default=0)),
                ('detail', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.job')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='rollouts.policyversion')),
                ('scenario_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='verifications', to='rollouts.scenarioversion')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('dreamed_failures__lte', models.F('dreamed_n')), ('real_failures__lte', models.F('real_n')), ('real_contacts__lte', models.F('real_n'))), name='verification_counts_fit')],
            },
        ),
    ]
