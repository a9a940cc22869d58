"""Rules that a constraint cannot say: what never changes, what is never deleted, and that only approved frames are sampled."""

from django.db import migrations

GUARD = """
CREATE FUNCTION rollouts_guard_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- TG_ARGV names the columns that may change. DELETE is always refused: rows are retired, not deleted.
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% is never deleted', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    IF (to_jsonb(NEW) - COALESCE(TG_ARGV, '{}'::text[])) IS DISTINCT FROM (to_jsonb(OLD) - COALESCE(TG_ARGV, '{}'::text[])) THEN
        RAISE EXCEPTION '% is immutable', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER scenario_never_deleted BEFORE DELETE ON rollouts_scenario
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_immutable();
CREATE TRIGGER scenario_version_immutable BEFORE UPDATE OR DELETE ON rollouts_scenarioversion
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_immutable();
CREATE TRIGGER policy_version_immutable BEFORE UPDATE OR DELETE ON rollouts_policyversion
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_immutable('state', 'is_active', 'metrics');
CREATE TRIGGER start_frame_immutable BEFORE UPDATE OR DELETE ON rollouts_startframe
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_immutable(
        'state', 'reason', 'probe', 'reviewed_by_id', 'reviewed_at');
CREATE TRIGGER rollout_immutable BEFORE UPDATE OR DELETE ON rollouts_rollout
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_immutable();

CREATE FUNCTION rollouts_guard_approved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- FOR SHARE: a review that takes the approval back waits until this insert is through, or the insert sees it.
    PERFORM 1 FROM rollouts_startframe WHERE id = NEW.start_frame_id AND state = 'approved' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'start frame % is not approved', NEW.start_frame_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER rollout_needs_approved_frame BEFORE INSERT ON rollouts_rollout
    FOR EACH ROW EXECUTE FUNCTION rollouts_guard_approved();
"""

UNGUARD = """
DROP TRIGGER rollout_needs_approved_frame ON rollouts_rollout;
DROP FUNCTION rollouts_guard_approved();
DROP TRIGGER rollout_immutable ON rollouts_rollout;
DROP TRIGGER start_frame_immutable ON rollouts_startframe;
DROP TRIGGER policy_version_immutable ON rollouts_policyversion;
DROP TRIGGER scenario_version_immutable ON rollouts_scenarioversion;
DROP TRIGGER scenario_never_deleted ON rollouts_scenario;
DROP FUNCTION rollouts_guard_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0001_initial")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
