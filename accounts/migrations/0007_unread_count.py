from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_push_failed"),
    ]

    operations = [
        migrations.AddField(
            model_name="cloudaccount",
            name="unread_count",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
    ]
