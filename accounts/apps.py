from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Cloud accounts"

    def ready(self) -> None:
        from accounts import receivers  # noqa: F401
