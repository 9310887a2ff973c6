from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "servers.agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from servers.agents import receivers  # noqa: F401
