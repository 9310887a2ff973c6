from django.apps import AppConfig


class ActionsConfig(AppConfig):
    name = "servers.actions"
    verbose_name = "Actions"

    def ready(self) -> None:
        from servers.actions import receivers  # noqa: F401 - it connects them
