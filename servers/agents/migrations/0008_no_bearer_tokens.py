from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0007_second_protocol'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='agent',
            name='digest',
        ),
    ]
