"""One event in one call, for statements that store more than the event."""

from django.db import migrations

APPEND = """
create function evidence_append(kind text, at timestamptz, actor text, commitment bytea, salt bytea, payload text)
    returns bigint language plpgsql volatile as
$$
declare
    told bigint;
begin
    insert into evidence_outbox (kind, at, actor, commitment) values (kind, at, actor, commitment)
    returning id into told;
    insert into evidence_payload (event_id, salt, payload) values (told, salt, payload);
    return told;
end
$$;
"""


class Migration(migrations.Migration):
    dependencies = (("evidence", "0002_outbox_at"),)
    operations = (migrations.RunSQL(APPEND, "drop function evidence_append"),)
