"""The settings of the house: read from the environment once, safe where the environment is silent.

Every variable is named `TALLYSTICK_…`, but for `DATABASE_URL`. Importing this module touches no disk
and no network: the secret key is found or made on its first use. `docs/reference/settings.md` lists
every variable; a test compares the two.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from tallystick.core import postgres
from tallystick.identity import secret_key


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


def _words(name: str, default: str) -> list[str]:
    return os.environ.get(name, default).replace(",", " ").split()


def _integer(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


PACKAGE = Path(__file__).resolve().parent
HOME = Path(postgres.home(os.environ))
FILES = HOME / "files"

# What weakens the defaults, each by name.

INSECURE_HTTP = _flag("TALLYSTICK_INSECURE_HTTP")
"""Plain http: for a demonstration on the machine's own loopback address, and for tests."""

DEMO = _flag("TALLYSTICK_DEMO")
"""A demonstration: invented people, and sign-in links printed for every role."""

DEBUG = False

SECRET_KEY = cast(str, SimpleLazyObject(lambda: secret_key.find_or_make(os.environ, HOME)))
SECRET_KEY_FALLBACKS = _words("TALLYSTICK_SECRET_KEY_OLD", "")

ALLOWED_HOSTS = _words("TALLYSTICK_HOSTS", "localhost 127.0.0.1 [::1]")
CSRF_TRUSTED_ORIGINS = _words("TALLYSTICK_TRUSTED_ORIGINS", "")

# The house.

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "tallystick.evidence",
    "tallystick.identity",
    "tallystick.custody",
    "tallystick.web",
]

MIDDLEWARE = [
    "tallystick.web.observation.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tallystick.web.limits.SizeMiddleware",
    "tallystick.web.log_files.Unvaried",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tallystick.web.visits.VisitMiddleware",
    "tallystick.web.session.ActorMiddleware",
]

ROOT_URLCONF = "tallystick.urls"
WSGI_APPLICATION = "tallystick.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps' own, so that our pages stand in for allauth's.
        "DIRS": [PACKAGE / "web" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tallystick.web.session.page",
            ],
        },
    },
]

DATABASES = postgres.databases(os.environ)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    # In the database, so that every worker counts the same sign-in attempts.
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "identity_cache",
    },
}

# Sign-in.

AUTH_USER_MODEL = "identity.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
# Memory-hard, and in the standard library's OpenSSL.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "landing"

ACCOUNT_ADAPTER = "tallystick.web.sign_in.Adapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_USER_MODEL_USERNAME_FIELD = "username"
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "landing"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "http" if INSECURE_HTTP else "https"
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "reauthenticate": "10/m/user",
}
ALLAUTH_TRUSTED_PROXY_COUNT = _integer("TALLYSTICK_PROXIES", 0)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_TOTP_ISSUER = "Tallystick"
# Passkeys on http://localhost, as the demonstration serves it.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = INSECURE_HTTP
USERSESSIONS_TRACK_ACTIVITY = False

EMAIL_BACKEND = os.environ.get("TALLYSTICK_EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
DEFAULT_FROM_EMAIL = os.environ.get("TALLYSTICK_EMAIL_FROM", "tallystick@localhost")

# Cookies and transport.

_SECURE = not INSECURE_HTTP
# The `__Host-` prefix binds a cookie to this host, to https and to the whole site; without https a
# browser would refuse it.
_PREFIX = "__Host-" if _SECURE else ""

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = f"{_PREFIX}session"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = _SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

CSRF_COOKIE_NAME = f"{_PREFIX}csrf"
CSRF_COOKIE_SECURE = _SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "tallystick.web.errors.csrf_failure"

LANGUAGE_COOKIE_NAME = "language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SECURE = _SECURE
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"

SECURE_SSL_REDIRECT = _SECURE
# A load balancer asks after our health without https.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _SECURE
SECURE_HSTS_PRELOAD = _SECURE
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# Believed only when the operator says that a proxy of theirs sets it (and strips the client's).
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ALLAUTH_TRUSTED_PROXY_COUNT else None
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # ECharts sets the style attribute of its own container and tooltip; style sheets stay ours.
        "style-src-attr": [UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    },
}

# Sizes.

REQUEST_BYTES_MAX = _integer("TALLYSTICK_REQUEST_BYTES_MAX", 64 * 1024 * 1024)
"""A whole request, files and all; a longer one is refused with 413 before it is read."""

DATA_UPLOAD_MAX_MEMORY_SIZE = _integer("TALLYSTICK_BODY_BYTES_MAX", 16 * 1024 * 1024)
POSTING_IN_PROCESS = os.environ.get("TALLYSTICK_POSTING", "") != "process"
"""Whether this process posts by itself. Web workers ask the posting process over its socket instead."""

JURISDICTIONS = _words("TALLYSTICK_JURISDICTIONS", "CN")
"""Whose rules say how long what is kept: where several, the longest."""

POSTING_SOCKET = HOME / "run" / "posting.sock"

API_REQUESTS_A_SECOND = _integer("TALLYSTICK_API_REQUESTS_A_SECOND", 500)
"""What one caller of the API may ask of one process; for a moment, twice as much."""

DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 40
FILE_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
FILE_UPLOAD_PERMISSIONS = 0o600

# Language and time.

LANGUAGE_CODE = os.environ.get("TALLYSTICK_LANGUAGE", "en")
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [PACKAGE / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = os.environ.get("TALLYSTICK_TIME_ZONE", "Asia/Shanghai")
USE_THOUSAND_SEPARATOR = False

# Static files.

STATIC_URL = "static/"
# Served from the package itself: nothing to collect, so `demo` starts from an installed wheel.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": FILES}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Evidence.

LOG_ORIGIN = os.environ.get("TALLYSTICK_LOG_ORIGIN", "")
"""What the names of this installation's logs begin with; read once, when they are opened."""

LOG_KEEPER = os.environ.get("TALLYSTICK_LOG_KEEPER", "home")
"""Where new keys of the logs are kept: `home`, or the dotted path of a class that speaks to a device."""

LIABILITIES_FOLDER = HOME / "liabilities"
"""Every client's balance on each stated day: unlike the logs' files, for nobody to be served."""

LOG_FOLDER = Path(os.environ.get("TALLYSTICK_LOG_FOLDER", HOME / "evidence"))

WITNESS_POLICY = Path(os.environ.get("TALLYSTICK_WITNESS_POLICY", HOME / "witnesses.policy"))
"""Who is asked to cosign, where, and how many of them are enough (C2SP tlog-policy). Read anew when it changes."""

WITNESS_ASK_SECONDS = _integer("TALLYSTICK_WITNESS_ASK_SECONDS", 60)
WITNESS_SILENT_SECONDS = _integer("TALLYSTICK_WITNESS_SILENT_SECONDS", 3600)

# What the operator sees.

METRICS_TOKEN = secret_key.given(os.environ, "TALLYSTICK_METRICS_TOKEN")
"""With a token, `/metrics` wants it; without, it answers only the machine itself."""

LOG_LEVEL = os.environ.get("TALLYSTICK_LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"scrub": {"()": "tallystick.web.observation.Scrub"}},
    "formatters": {"json": {"()": "tallystick.web.observation.json_formatter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["scrub"]},
        "none": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": LOG_LEVEL, "propagate": False},
        # Paths may carry a one-time token; our own request line names the route instead.
        "django.request": {"handlers": ["none"], "propagate": False},
        "django.server": {"handlers": ["none"], "propagate": False},
    },
}

SILENCED_SYSTEM_CHECKS: list[str] = []
