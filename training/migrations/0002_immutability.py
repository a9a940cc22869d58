"""Snapshots never change: what a round learned from must stay what its version's lineage says."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION training_snapshot_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is immutable', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = 'training_snapshot_immutable';
END $$;
CREATE TRIGGER training_snapshot_immutable BEFORE UPDATE OR DELETE ON training_roundsnapshot
    FOR EACH ROW EXECUTE FUNCTION training_snapshot_immutable();
"""
BACKWARD = """
DROP TRIGGER training_snapshot_immutable ON training_roundsnapshot;
DROP FUNCTION training_snapshot_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
