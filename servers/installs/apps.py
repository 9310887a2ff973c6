from django.apps import AppConfig


class InstallsConfig(AppConfig):
    name = "servers.installs"
    verbose_name = "Installs"

    def ready(self) -> None:
        from servers.installs import receivers  # noqa: F401 - it connects them
