from django.db import migrations
from django.db.models import F
from django.db.models.functions import Now


def end_old_agents(apps, schema_editor):
    """Those of 0.1 do not speak the second protocol: their servers are offered an install."""
    agents = apps.get_model("agents", "Agent").objects.filter(public_key__isnull=True, state="live")
    agents.update(state="revoked", former_server=F("server"), server=None, ended_at=Now())


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0006_samples'),
    ]

    operations = [
        migrations.RunPython(end_old_agents, migrations.RunPython.noop),
    ]
