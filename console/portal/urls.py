"""Pages that span apps, mounted at /."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from console.portal import acting, brand, components, entering, healthpages, mailbox, me, tokens, welcome

app_name = "portal"
urlpatterns: list[URLPattern | URLResolver] = [
    path("me/", me.page, name="me"),
    path("me/tokens/", tokens.page, name="tokens"),
    path("me/tokens/<uuid:pk>/revoke", tokens.revoke, name="revoke-token"),
    path("welcome/<str:token>/", welcome.welcome, name="welcome"),
    path("welcome/<str:token>/again/", welcome.welcome_again, name="welcome-again"),
    path("in/<str:token>/", welcome.enter, name="enter"),
    path("handoff/<str:token>/", welcome.arrive, name="handoff"),
    path("acting/stop", acting.stop, name="stop-acting"),
    path("enter/<slug:slug>/", entering.enter, name="enter-at"),
    path("enter/<slug:slug>/back/", entering.came_back, name="came-back"),
    path("brand/<uuid:pk>/style.css", brand.style, name="brand-style"),
    path("brand/<uuid:pk>/logo.png", brand.logo, name="brand-logo"),
    path("invitations/", welcome.invited, name="invitations"),
    path("invitations/<uuid:pk>/", welcome.answer, name="invitation"),
    path("invitations/join/<str:token>/", welcome.accept, name="accept-invitation"),
    path("_mail/", mailbox.listing, name="mailbox"),
    path("_mail/<str:name>/", mailbox.one, name="mail"),
    path("_mail/<str:name>/html", mailbox.html, name="mail-html"),
    path("admin/health/", admin.site.admin_view(healthpages.everybody), name="providers-health"),
    path("admin/health/<uuid:pk>/", admin.site.admin_view(healthpages.one), name="provider-health"),
    path("staff/components/", components.page, name="components"),
]
