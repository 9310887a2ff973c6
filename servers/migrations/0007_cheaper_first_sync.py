import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    """Ids come from whoever writes, in order. One account's servers are found by `server_once`, or by their customer's
    indexes: a third list of names was a tenth of what the first sync of an account costs."""

    dependencies = [
        ("servers", "0006_server_of_its_account"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="server", name="server_by_account"),
        migrations.AlterField(
            model_name="server",
            name="id",
            field=models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
        ),
    ]
