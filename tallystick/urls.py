"""Every address of the house, on one page."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from tallystick.web import errors, health, landing, sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("account/", include("allauth.urls")),
    path("sign-in/link/<str:token>", sign_in.link, name="sign-in-link"),
    path("", landing.landing, name="landing"),
    path("home/", landing.home, name="home"),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
