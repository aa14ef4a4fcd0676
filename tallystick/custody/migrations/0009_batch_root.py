"""A batch's event is written with the Merkle root over its transfers: `custody_store` takes both."""

from pathlib import Path

from django.db import migrations

STORING = Path(__file__).parent.parent / "storing.sql"


class Migration(migrations.Migration):
    dependencies = [("custody", "0008_statement_kinds"), ("evidence", "0004_log")]

    operations = [
        # Made by migration 0001 from the same file, whatever it said then.
        migrations.RunSQL(
            "drop function custody_store;\n" + STORING.read_text(encoding="utf-8"), migrations.RunSQL.noop
        ),
    ]
