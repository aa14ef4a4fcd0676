from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("custody", "0006_holders"),)
    operations = ()
