from django.apps import AppConfig


class InstallsConfig(AppConfig):
    name = "servers.installs"
    verbose_name = "Installs"
