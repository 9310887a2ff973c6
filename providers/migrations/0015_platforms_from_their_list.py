"""The platforms that an endpoint can be of are read from `providers.platforms`: a new one needs no migration."""

from django.db import migrations, models

import providers.platforms


class Migration(migrations.Migration):
    dependencies = [("providers", "0014_mail_button_and_note")]

    operations = [
        migrations.AlterField(
            model_name="cloudendpoint",
            name="platform",
            field=models.CharField(choices=providers.platforms.choices, max_length=12),
        ),
    ]
