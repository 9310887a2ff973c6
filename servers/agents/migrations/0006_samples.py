from django.db import migrations

COLUMNS = (
    "server_id uuid NOT NULL, at timestamptz NOT NULL, load1 real, load5 real, load15 real, cpu_percent real, "
    "memory_used_bytes bigint, memory_total_bytes bigint, swap_used_bytes bigint, swap_total_bytes bigint, "
    "uptime_seconds bigint, disks jsonb NOT NULL, nics jsonb NOT NULL, PRIMARY KEY (server_id, at)"
)


class Migration(migrations.Migration):
    """Samples by the minute, the quarter of an hour and six hours; their partitions: servers/agents/samples.py."""

    dependencies = [
        ('agents', '0005_claim_matching'),
    ]

    operations = [
        migrations.RunSQL(
            f"CREATE TABLE {table} ({COLUMNS}) PARTITION BY RANGE (at)", f"DROP TABLE {table}"
        )
        for table in ("agents_sample", "agents_sample_quarter", "agents_sample_six_hours")
    ]
