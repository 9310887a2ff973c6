"""The configuration of each service: as little as makes it run on loopback, all of it under the scratch folder.

Found out by running them (../shared/CLOUDS.md §5). Whatever is left out would be looked for in /etc or /var.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.realstack.ground import PAGE, REGION, VENV, Ground

Sections = Mapping[str, Mapping[str, str]]


def write(ground: Ground) -> None:
    """All configuration files, into `ground.conf`."""
    made = {
        "keystone.conf": _keystone(ground),
        "placement.conf": _placement(ground),
        "glance-api.conf": _glance(ground),
        "neutron.conf": _neutron(ground),
        "nova.conf": {**_nova(ground), **_nova_databases(ground)},
        "nova-compute.conf": _nova(ground),  # Nova wants its computes without a way to the databases
    }
    for name, sections in made.items():
        path = ground.conf / name
        path.touch(mode=0o600)
        path.write_text(_ini(sections))
    (ground.conf / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{ground.ports['rabbit']}\n")
    (ground.conf / "enabled_plugins").write_text("[].\n")
    (ground.conf / "rabbitmq-env.conf").touch()
    _plugin(ground)


def rabbit_environment(ground: Ground) -> dict[str, str]:
    """RabbitMQ alone on loopback, with an Erlang port mapper of its own (the usual one would outlive it)."""
    home = ground.home / "rabbit"
    return ground.environment(
        RABBITMQ_NODENAME="muster@localhost",
        RABBITMQ_DIST_PORT=str(ground.ports["erlang"]),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
        ERL_EPMD_PORT=str(ground.ports["epmd"]),
        ERL_EPMD_ADDRESS="127.0.0.1",
        RABBITMQ_CONFIG_FILE=str(ground.conf / "rabbitmq.conf"),
        RABBITMQ_CONF_ENV_FILE=str(ground.conf / "rabbitmq-env.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(ground.conf / "enabled_plugins"),
        RABBITMQ_MNESIA_BASE=str(home),
        RABBITMQ_LOG_BASE=str(home),
        RABBITMQ_PID_FILE=str(home / "pid"),
        RABBITMQ_LOGS="-",
    )


def _keystone(ground: Ground) -> Sections:
    keys = {name: str(ground.home / name) for name in ("fernet", "credential")}
    return {
        "DEFAULT": {"log_file": _log(ground, "keystone")},
        "database": {"connection": ground.database("keystone")},
        "fernet_tokens": {"key_repository": keys["fernet"]},
        "fernet_receipts": {"key_repository": keys["fernet"]},
        "credential": {"key_repository": keys["credential"]},
    }


def _placement(ground: Ground) -> Sections:
    return {
        "DEFAULT": {"log_file": _log(ground, "placement")},
        "placement_database": {"connection": ground.database("placement")},
        "keystone_authtoken": _as_service(ground),
    }


def _glance(ground: Ground) -> Sections:
    return {
        "DEFAULT": {
            "log_file": _log(ground, "glance"),
            "enabled_backends": "files:file",
            "node_staging_uri": f"file://{ground.home / 'images' / 'staging'}",
            "worker_self_reference_url": ground.url("glance"),
        },
        "database": {"connection": ground.database("glance")},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": str(ground.home / "images")},
        "os_glance_staging_store": {"filesystem_store_datadir": str(ground.home / "images" / "staging")},
        "os_glance_tasks_store": {"filesystem_store_datadir": str(ground.home / "images" / "tasks")},
        "oslo_concurrency": {"lock_path": str(ground.home / "tmp")},
        "paste_deploy": {"flavor": "keystone", "config_file": str(VENV / "etc/glance/glance-api-paste.ini")},
        "keystone_authtoken": _as_service(ground),
    }


def _neutron(ground: Ground) -> Sections:
    return {
        "DEFAULT": {
            "log_file": _log(ground, "neutron"),
            "core_plugin": "ml2",
            "service_plugins": "",
            "transport_url": "fake:/",  # there are no agents to talk to
            "state_path": str(ground.home / "neutron"),
            "api_paste_config": str(VENV / "etc/neutron/api-paste.ini"),
            "dhcp_agent_notification": "false",
            "notify_nova_on_port_status_changes": "false",
            "notify_nova_on_port_data_changes": "false",
        },
        "database": {"connection": ground.database("neutron")},
        "oslo_concurrency": {"lock_path": str(ground.home / "tmp")},
        "keystone_authtoken": _as_service(ground),
        "ml2": {"type_drivers": "local", "tenant_network_types": "local", "mechanism_drivers": "muster_binding"},
    }


def _nova(ground: Ground) -> Sections:
    user = _as_service(ground)
    return {
        "DEFAULT": {
            "log_dir": str(ground.home / "log"),
            "host": "compute-1",
            "state_path": str(ground.home / "nova"),
            "transport_url": f"rabbit://guest:guest@127.0.0.1:{ground.ports['rabbit']}/",
            # The plain FakeDriver cannot resize on its own host: a resize there comes back to ACTIVE as it was.
            "compute_driver": "fake.SameHostColdMigrateDriver",
            "allow_resize_to_same_host": "true",
            "vif_plugging_is_fatal": "false",
            "vif_plugging_timeout": "0",
            "report_interval": "2",
            "graceful_shutdown_timeout": "5",
        },
        "api": {"max_limit": str(PAGE)},
        "conductor": {"workers": "1"},
        "scheduler": {"workers": "1"},
        "oslo_concurrency": {"lock_path": str(ground.home / "tmp")},
        "keystone_authtoken": user,
        "service_user": {**user, "send_service_user_token": "true"},
        "placement": {**user, "region_name": REGION},
        "glance": {**user, "region_name": REGION},
        "neutron": {**user, "region_name": REGION},
    }


def _nova_databases(ground: Ground) -> Sections:
    return {
        "api_database": {"connection": ground.database("nova_api")},
        "database": {"connection": ground.database("nova")},
    }


def _as_service(ground: Ground) -> dict[str, str]:
    return {
        "auth_type": "password",
        "auth_url": ground.keystone,
        "www_authenticate_uri": ground.keystone,
        "username": "inner",
        "password": ground.inner,
        "user_domain_id": "default",
        "project_name": "service",
        "project_domain_id": "default",
        "service_token_roles_required": "true",
    }


def _log(ground: Ground, name: str) -> str:
    return str(ground.home / "log" / f"{name}.log")


def _ini(sections: Sections) -> str:
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _plugin(ground: Ground) -> None:
    """Our Neutron driver, so that its installation finds it: drivers are named by an entry point."""
    plugins = ground.home / "plugins"
    shutil.copy(Path(__file__).with_name("binding.py"), plugins / "muster_binding.py")
    told = plugins / "muster_binding-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: muster-binding\nVersion: 1\n")
    entry = "[neutron.ml2.mechanism_drivers]\nmuster_binding = muster_binding:Binds\n"
    (told / "entry_points.txt").write_text(entry)
