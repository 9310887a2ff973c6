"""Pages that span apps, mounted at /."""

from django.urls import URLPattern, URLResolver, path

from console.portal import components, me

app_name = "portal"
urlpatterns: list[URLPattern | URLResolver] = [
    path("me/", me.page, name="me"),
    path("staff/components/", components.page, name="components"),
]
