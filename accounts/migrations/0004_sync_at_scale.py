from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_generation"),
    ]

    operations = [
        *(
            migrations.AddField(
                model_name="cloudaccount", name=name, field=models.DateTimeField(editable=False, null=True)
            )
            for name in ("changes_from", "swept_at", "vouched_at")
        ),
        migrations.AddField(model_name="syncrun", name="gone", field=models.PositiveIntegerField(default=0)),
        migrations.AddField(
            model_name="syncrun",
            name="mode",
            field=models.CharField(
                choices=[("full", "Whole listing"), ("changes", "Changes only")], default="full", max_length=8
            ),
        ),
    ]
