import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('core', '0002_append_only_audit'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('rollouts', '0002_immutability'),
    ]

    operations = [
        migrations.CreateModel(
            name='Round',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='Also the name of the version that it makes.', max_length=80, unique=True)),
                ('stage', models.CharField(choices=[('snapshot', 'Snapshot'), ('post_train', 'DPO'), ('value_head', 'Value head'), ('evaluate', 'Evaluation'), ('gate', 'Gate')], default='snapshot', max_length=16)),
                ('state', models.CharField(choices=[('running', 'Running'), ('promoted', 'Promoted'), ('rejected', 'Rejected'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='running', max_length=16)),
                ('trigger', models.CharField(choices=[('person', 'Started by a person'), ('choices', 'Enough new choices'), ('schedule', 'On schedule')], default='person', max_length=16)),
                ('settings', models.JSONField(default=dict)),
                ('note', models.TextField(blank=True, default='', max_length=2000)),
                ('error', models.TextField(blank=True, default='')),
                ('gate', models.JSONField(blank=True, null=True)),
                ('seconds', models.JSONField(blank=True, default=dict)),
                ('alarms', models.JSONField(blank=True, default=list)),
                ('value_head', models.JSONField(blank=True, help_text="Report of the value head's refresh.", null=True)),
                ('override_reason', models.TextField(blank=True, default='')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('child', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='made_by_round', to='rollouts.policyversion')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.job')),
                ('override_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to='rollouts.policyversion')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['state', '-id'], name='round_by_state'), models.Index(fields=['parent', '-id'], name='round_by_parent')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['running', 'promoted', 'rejected', 'failed', 'cancelled'])), name='round_state_known'), models.CheckConstraint(condition=models.Q(('stage__in', ['snapshot', 'post_train', 'value_head', 'evaluate', 'gate'])), name='round_stage_known'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('finished_at__isnull', False)), _connector='OR'), name='round_finished_has_a_time'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['promoted', 'rejected']), _negated=True), models.Q(('child__isnull', False), ('gate__isnull', False), ('stage', 'gate')), _connector='OR'), name='round_decision_has_gate_and_child'), models.CheckConstraint(condition=models.Q(('override_by__isnull', True), models.Q(('override_reason', ''), _negated=True), _connector='OR'), name='round_override_has_reason'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), models.Q(('error', ''), _negated=True), _connector='OR'), name='round_failure_says_why')],
            },
        ),
        migrations.CreateModel(
            name='Evaluation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('suite', models.JSONField()),
                ('suite_hash', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='running', max_length=16)),
                ('summary', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.job')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='evaluations', to='rollouts.policyversion')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('policy_version', 'suite_hash'), name='evaluation_once_a_suite'), models.CheckConstraint(condition=models.Q(('state__in', ['running', 'done', 'failed'])), name='evaluation_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'done'), _negated=True), ('finished_at__isnull', False), _connector='OR'), name='evaluation_done_has_a_time')],
            },
        ),
        migrations.CreateModel(
            name='Episode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('index', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('adversarial', 'Adversarial'), ('ordinary', 'Ordinary')], max_length=16)),
                ('scenario', models.CharField(max_length=120)),
                ('prompt', models.CharField(max_length=300)),
                ('seed', models.BigIntegerField()),
                ('factors', models.JSONField(default=dict)),
                ('success', models.BooleanField()),
                ('dog_contact', models.BooleanField()),
                ('steps', models.PositiveIntegerField()),
                ('predicted', models.FloatField(null=True)),
                ('contact_xy', models.JSONField(default=list)),
                ('trajectory', models.JSONField(default=list)),
                ('dreamed', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('real', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob')),
                ('evaluation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='episodes', to='training.evaluation')),
            ],
            options={
                'ordering': ['evaluation_id', 'index'],
                'constraints': [models.UniqueConstraint(fields=('evaluation', 'index'), name='episode_once'), models.CheckConstraint(condition=models.Q(('kind__in', ['adversarial', 'ordinary'])), name='episode_kind_known'), models.CheckConstraint(condition=models.Q(('predicted__isnull', True), models.Q(('predicted__gte', 0), ('predicted__lte', 1)), _connector='OR'), name='episode_prediction_is_a_probability')],
            },
        ),
        migrations.CreateModel(
            name='RoundSnapshot',
            fields=[
                ('round', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='snapshot', serialize=False, to='training.round')),
                ('sha256', models.CharField(db_index=True, max_length=64)),
                ('counts', models.JSONField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('sha256__regex', '^[0-9a-f]{64}$')), name='round_snapshot_has_hash')],
            },
        ),
        migrations.CreateModel(
            name='RoundMetric',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('snapshot', 'Snapshot'), ('post_train', 'DPO'), ('value_head', 'Value head'), ('evaluate', 'Evaluation'), ('gate', 'Gate')], max_length=16)),
                ('kind', models.CharField(help_text='train or held_out.', max_length=16)),
                ('step', models.PositiveIntegerField()),
                ('values', models.JSONField()),
                ('round', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metrics', to='training.round')),
            ],
            options={
                'ordering': ['stage', 'step'],
                'constraints': [models.UniqueConstraint(fields=('round', 'stage', 'kind', 'step'), name='round_metric_once_a_step')],
            },
        ),
        migrations.CreateModel(
            name='RoundSchedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('every_choices', models.PositiveIntegerField(blank=True, null=True)),
                ('every_hours', models.PositiveIntegerField(blank=True, null=True)),
                ('min_choices', models.PositiveIntegerField(default=50, help_text='A scheduled round with fewer new choices is not started.')),
                ('settings', models.JSONField(blank=True, default=dict)),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('last_round', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='training.round')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('every_choices__isnull', False), ('every_hours__isnull', False), _connector='OR'), name='round_schedule_has_a_trigger'), models.CheckConstraint(condition=models.Q(('every_choices__isnull', True), ('every_choices__gte', 1), _connector='OR'), name='round_schedule_choices_positive'), models.CheckConstraint(condition=models.Q(('every_hours__isnull', True), ('every_hours__gte', 1), _connector='OR'), name='round_schedule_hours_positive')],
            },
        ),
        migrations.AddField(
            model_name='roundsnapshot',
            name='choices',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob'),
        ),
        migrations.AddField(
            model_name='roundsnapshot',
            name='clips',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob'),
        ),
        migrations.AddField(
            model_name='roundsnapshot',
            name='preferences',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob'),
        ),
        migrations.AddField(
            model_name='roundsnapshot',
            name='replay',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.blob'),
        ),
    ]
