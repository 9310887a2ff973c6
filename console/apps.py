from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The project's own rows (User, AuditEntry) and pages that span apps."""

    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        from console import checks  # noqa: F401  # registers itself
