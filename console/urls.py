"""Every address of the house, by floor."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from console.lib.api.docs import Docs
from console.portal import guide, health

urlpatterns = [
    path("", RedirectView.as_view(url="/servers/"), name="home"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("", include("console.portal.urls")),  # /me/ /welcome/ /in/ /_mail/ /staff/
    path("", include("servers.web.urls")),  # /servers/ /activity/
    path("provider/", include("console.portal.provider.urls")),
    path("accounts/", include("accounts.web.urls")),
    path("machines/", include("servers.agents.web.urls")),
    path("installs/", include("servers.installs.web.urls")),
    path("", include("servers.actions.web.urls")),  # /servers/new /actions/
    # Not allauth.urls: its pages of other sign-ins let people connect them by themselves (console/portal/oidc.py).
    path("auth/", include("allauth.account.urls")),
    path("auth/2fa/", include("allauth.mfa.urls")),
    path("auth/sessions/", include("allauth.usersessions.urls")),
    path("api/provider/v1/", include("providers.api.urls")),
    path("api/provider/v1/", include("accounts.api.urls")),
    path("api/provider/v1/", include("servers.api.urls")),
    path("api/v1/", include("servers.api.customer.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", Docs.as_view(url_name="schema"), name="docs"),
    path("api/docs/guide/", guide.page, name="guide"),
    path("api/docs/guide/integrate.py", guide.example, name="guide-example"),
    path("api/docs/guide/<slug:name>/", guide.page, name="guide-page"),
    path("scalex/acl/", include("providers.api.legacy_urls")),
    path("", include("servers.installs.api.urls")),  # /agent/v1/install.sh, and the agent
    path("agent/v1/", include("servers.agents.api.urls")),
    path("admin/", admin.site.urls),
]
if settings.MAIL_SERVICE:  # it reports what became of mails; its reports carry WEBHOOK_SECRET
    urlpatterns.append(path("mail/events/", include("anymail.urls")))
