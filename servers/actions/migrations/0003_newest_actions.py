from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("actions", "0002_creating"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="action",
            index=models.Index(fields=["-queued_at"], name="action_newest"),
        ),
    ]
