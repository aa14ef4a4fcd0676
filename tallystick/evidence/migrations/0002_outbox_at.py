"""Find an event by when it happened: the way from a transfer to the event of its batch."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evidence", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="outbox",
            index=models.Index(fields=["at"], name="evidence_outbox_at"),
        ),
    ]
