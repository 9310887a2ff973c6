import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0001_initial"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="server",
            index=models.Index(
                models.F("customer"),
                django.db.models.functions.comparison.Coalesce("cloud_created_at", "first_seen_at"),
                models.F("id"),
                name="server_by_age",
            ),
        ),
    ]
