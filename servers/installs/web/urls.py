"""Pages about installs, mounted at /installs/."""

from django.urls import URLPattern, URLResolver, path

from servers.installs.web import asking, command, deeds, progress

app_name = "installs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("new", asking.new, name="new"),
    path("command/<uuid:pk>", command.of_server, name="command"),
    path("command/account/<uuid:pk>", command.of_account, name="account-command"),
    path("<uuid:pk>/", progress.page, name="batch"),
    path("<uuid:pk>/confirm-host-keys", deeds.confirm_host_keys, name="confirm-host-keys"),
    path("<uuid:pk>/go-on", deeds.go_on, name="go-on"),
    path("<uuid:pk>/forget-jump-key", deeds.forget_jump_key, name="forget-jump-key"),
    path("<uuid:pk>/retry", deeds.retry, name="retry"),
    path("<uuid:pk>/cancel", deeds.cancel, name="cancel"),
    path("hosts/<uuid:pk>/row", progress.host, name="host"),
    path("hosts/<uuid:pk>/forget-host-key", deeds.forget_host_key, name="forget-host-key"),
]
