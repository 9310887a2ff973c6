from django.db import migrations, models

LISTED = models.Q(gone_at__isnull=True)
INDEXES = {
    "server_by_name": ["customer", "name", "id"],
    "server_by_state": ["customer", "state", "name", "id"],
    "server_by_account": ["account", "name", "id"],
}


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0002_server_by_age"),
    ]

    operations = [
        migrations.AddField(model_name="server", name="gone_at", field=models.DateTimeField(null=True)),
        *(migrations.RemoveIndex(model_name="server", name=name) for name in INDEXES),
        *(
            migrations.AddIndex(model_name="server", index=models.Index(fields=fields, name=name, condition=LISTED))
            for name, fields in INDEXES.items()
        ),
    ]
