from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "servers.agents"
    verbose_name = "Agents"
