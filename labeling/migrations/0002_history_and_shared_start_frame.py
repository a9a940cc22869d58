"""Rules that Django's constraints can not say: composite foreign keys and append-only history."""

from django.db import migrations

SHARED_START_FRAME = """
ALTER TABLE labeling_comparison
    ADD CONSTRAINT labeling_comparison_a_shares_start_frame FOREIGN KEY (rollout_a_id, start_frame_id)
        REFERENCES rollouts_rollout (id, start_frame_id) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT labeling_comparison_b_shares_start_frame FOREIGN KEY (rollout_b_id, start_frame_id)
        REFERENCES rollouts_rollout (id, start_frame_id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION labeling_comparison_same_prompt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(DISTINCT prompt) FROM rollouts_rollout WHERE id IN (NEW.rollout_a_id, NEW.rollout_b_id)) > 1 THEN
        RAISE EXCEPTION 'the two rollouts of a comparison need the same prompt'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'labeling_comparison_same_prompt';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER labeling_comparison_same_prompt BEFORE INSERT OR UPDATE OF rollout_a_id, rollout_b_id
    ON labeling_comparison FOR EACH ROW EXECUTE FUNCTION labeling_comparison_same_prompt();
"""
SHARED_START_FRAME_BACK = """
DROP TRIGGER labeling_comparison_same_prompt ON labeling_comparison;
DROP FUNCTION labeling_comparison_same_prompt();
ALTER TABLE labeling_comparison DROP CONSTRAINT labeling_comparison_a_shares_start_frame,
    DROP CONSTRAINT labeling_comparison_b_shares_start_frame;
"""

OWN_LEASE = """
ALTER TABLE labeling_choice ADD CONSTRAINT labeling_choice_own_lease
    FOREIGN KEY (lease_id, annotator_id, comparison_id)
    REFERENCES labeling_lease (id, annotator_id, comparison_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE labeling_skip ADD CONSTRAINT labeling_skip_own_lease
    FOREIGN KEY (lease_id, annotator_id, comparison_id)
    REFERENCES labeling_lease (id, annotator_id, comparison_id) DEFERRABLE INITIALLY DEFERRED;
"""
OWN_LEASE_BACK = """
ALTER TABLE labeling_skip DROP CONSTRAINT labeling_skip_own_lease;
ALTER TABLE labeling_choice DROP CONSTRAINT labeling_choice_own_lease;
"""

APPEND_ONLY = """
CREATE FUNCTION labeling_history_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A choice may be marked as undone, once; nothing else of it may change.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'labeling_choice' THEN
        IF OLD.undone_by_id IS NULL AND NEW.undone_by_id IS NOT NULL
            AND (to_jsonb(NEW) - 'undone_by_id') = (to_jsonb(OLD) - 'undone_by_id') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = 'labeling_history_only_grows';
END $$;
CREATE TRIGGER labeling_choice_only_grows BEFORE UPDATE OR DELETE ON labeling_choice
    FOR EACH ROW EXECUTE FUNCTION labeling_history_only_grows();
CREATE TRIGGER labeling_undo_only_grows BEFORE UPDATE OR DELETE ON labeling_undo
    FOR EACH ROW EXECUTE FUNCTION labeling_history_only_grows();
CREATE TRIGGER labeling_skip_only_grows BEFORE UPDATE OR DELETE ON labeling_skip
    FOR EACH ROW EXECUTE FUNCTION labeling_history_only_grows();
CREATE TRIGGER labeling_estimate_only_grows BEFORE UPDATE OR DELETE ON labeling_annotatorestimate
    FOR EACH ROW EXECUTE FUNCTION labeling_history_only_grows();
"""
APPEND_ONLY_BACK = """
DROP TRIGGER labeling_estimate_only_grows ON labeling_annotatorestimate;
DROP TRIGGER labeling_skip_only_grows ON labeling_skip;
DROP TRIGGER labeling_undo_only_grows ON labeling_undo;
DROP TRIGGER labeling_choice_only_grows ON labeling_choice;
DROP FUNCTION labeling_history_only_grows();
"""


class Migration(migrations.Migration):
    dependencies = [("labeling", "0001_initial")]

    operations = [
        migrations.RunSQL(SHARED_START_FRAME, SHARED_START_FRAME_BACK),
        migrations.RunSQL(OWN_LEASE, OWN_LEASE_BACK),
        migrations.RunSQL(APPEND_ONLY, APPEND_ONLY_BACK),
    ]
