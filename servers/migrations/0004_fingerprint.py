from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0003_sync_at_scale"),
    ]

    operations = [
        migrations.AddField(
            model_name="server",
            name="fingerprint",
            field=models.CharField(db_default="", default="", editable=False, max_length=64),
        ),
    ]
