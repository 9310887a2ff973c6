"""All settings, from the environment (`X`, or `X_FILE` naming a file), by PROMISES.md's names; a wrong one is fatal.

Without DATABASE_URL and REDIS_URL the embedded engine of MUSTER_HOME is meant (console/lib/embedded.py).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from console.lib import embedded, seal
from console.lib.enumnames import ENUM_NAMES
from console.lib.env import broker, env, folder, json_object, level, listed, origin, port, read, wrong, yes_no

BASE_DIR = Path(__file__).resolve().parent.parent


# --- where things are ---------------------------------------------------------------------------------------------
MUSTER_HOME = read("MUSTER_HOME", folder, BASE_DIR / ".muster", "Name the folder of the embedded mode's state.")
DATABASE_URL = read("DATABASE_URL", str, "", "")
REDIS_URL = read("REDIS_URL", broker, "", "Write REDIS_URL=redis://[:PASSWORD@]HOST:PORT/0")
try:
    EMBEDDED = embedded.engine(MUSTER_HOME) if not (DATABASE_URL and REDIS_URL) else None
except OSError as fault:
    wrong("MUSTER_HOME", f"{fault.strerror}: {fault.filename}. Name a folder that this user may make and write.")
if EMBEDDED:
    DATABASE_URL = DATABASE_URL or EMBEDDED.database_url
    REDIS_URL = REDIS_URL or EMBEDDED.redis_url
PORT = read("PORT", port, 8000, "Write a port number, such as PORT=8000.")
PUBLIC_URL = read(
    "PUBLIC_URL",
    origin,
    f"http://127.0.0.1:{PORT}",
    "Write scheme and host only, such as PUBLIC_URL=https://console.example.com",
)
_public = urlsplit(PUBLIC_URL)
SECURE = _public.scheme == "https"
DEMO = read("DEMO", yes_no, bool(EMBEDDED), "Write DEMO=0 or DEMO=1.")
DEBUG = False

# --- secrets ------------------------------------------------------------------------------------------------------
SECRET_KEY = read("SECRET_KEY", str, EMBEDDED.secret_key if EMBEDDED else "", "")
if not SECRET_KEY:
    wrong("SECRET_KEY", "Set SECRET_KEY or SECRET_KEY_FILE to 50 or more random characters.")
SEAL_KEYS = read(
    "SEAL_KEYS",
    seal.parse_keys,
    seal.parse_keys(EMBEDDED.seal_keys) if EMBEDDED else (),
    "Write NAME:BASE64 of 32 random bytes; several separated by commas, the first one seals. "
    'Make one with: echo "k1:$(head -c 32 /dev/urandom | base64)"',
)
if not SEAL_KEYS:
    wrong("SEAL_KEYS", "Set SEAL_KEYS or SEAL_KEYS_FILE: the keys that encrypt cloud credentials (see README).")

SIGN_KEYS = read(
    "SIGN_KEYS",
    seal.parse_keys,
    seal.parse_keys(EMBEDDED.sign_keys) if EMBEDDED else (),
    "Write NAME:BASE64 of 32 random bytes; several separated by commas, the first one signs, agents trust all. "
    'Make one with: echo "k1:$(head -c 32 /dev/urandom | base64)"',
)
if not SIGN_KEYS:
    wrong("SIGN_KEYS", "Set SIGN_KEYS or SIGN_KEYS_FILE: the keys that sign what agents run (see README).")

# --- who may talk to us -------------------------------------------------------------------------------------------
ALLOWED_HOSTS: list[str] = read(
    "ALLOWED_HOSTS", listed, [_public.hostname or "", "127.0.0.1", "localhost", "[::1]"], ""
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]


def _networks(text: str) -> list[str]:
    return [str(ipaddress.ip_network(part)) for part in listed(text)]


TRUSTED_PROXIES: list[str] = read(
    "TRUSTED_PROXIES", _networks, [], "Write addresses or networks, such as 10.0.0.0/8,192.0.2.7."
)
# Networks that agents' hosts and clouds may be dialled on in demo mode; SECURITY.md §5 forbids loopback otherwise.
DEMO_NETWORKS = ["127.0.0.0/8"] if DEMO else []
# The sandbox's simulated clouds (`manage.py sandbox_cloud`): on free ports of this machine, or from SANDBOX_PORT on,
# which several machines over one database want to be the same. Sandboxes reach those very ports and no others.
SANDBOX = read("SANDBOX", yes_no, DEMO, "Write SANDBOX=0 or SANDBOX=1.")
SANDBOX_PORT: int = read("SANDBOX_PORT", port, 0, "Write the first of four free ports, such as SANDBOX_PORT=8900.")

# --- what it is made of -------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "console.apps.ConsoleConfig",
    "providers.apps.ProvidersConfig",
    "accounts.apps.AccountsConfig",
    "servers.apps.ServersConfig",
    "servers.agents.apps.AgentsConfig",
    "servers.installs.apps.InstallsConfig",
    "servers.actions.apps.ActionsConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "anymail",
    "channels",
    "csp",
    "django_filters",
    "django_htmx",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "console.lib.requests.RequestIdMiddleware",
    "providers.api.calls.CallLog",
    "console.lib.api.errors.OneShape",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "console.portal.doors.Doorkeeper",
    "console.portal.acting.Acting",
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.portal.shell.shell",
            ],
        },
    }
]

# --- data ---------------------------------------------------------------------------------------------------------
try:
    _database = env.db_url_config(DATABASE_URL)
except ValueError:
    _database = {}
if _database.get("ENGINE") != "django.db.backends.postgresql":
    wrong("DATABASE_URL", "Muster runs on PostgreSQL: write DATABASE_URL=postgres://USER:PASSWORD@HOST:PORT/NAME")
# Threads (web, SSH workers) share a pool; forked workers hold one connection each (NUMBERS.md, "Traps hit").
_pool = read("DATABASE_POOL", int, 0, "Write how many connections a process may hold, such as DATABASE_POOL=20.")
_database["OPTIONS"] = {
    **_database.get("OPTIONS", {}),
    **({"pool": {"min_size": 1, "max_size": _pool, "timeout": 20}} if _pool else {}),
}
_database["CONN_MAX_AGE"] = 0 if _pool else 60
_database["CONN_HEALTH_CHECKS"] = True  # a database that was started again costs nobody an error
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

# --- people -------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "console.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/servers/"
ACCOUNT_ADAPTER = "console.portal.doors.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = True
# Providers' own identity servers: rows of ours, in console/portal/oidc.py.
SOCIALACCOUNT_ADAPTER = "console.portal.oidc.Adapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_AUTO_SIGNUP = False
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Muster"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody signs up here: who came in came by a link to that address, or by staff
USERSESSIONS_TRACK_ACTIVITY = False
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = False  # htmx sends it in a header

# --- safety of pages ----------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = SECURE
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],  # Unfold's Alpine.js evaluates expressions; staff only
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

# --- language, files ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = MUSTER_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False

# --- mail ---------------------------------------------------------------------------------------------------------
EMAIL_URL = read("EMAIL_URL", str, "" if EMBEDDED else "smtp://localhost:25", "")
MAIL_FOLDER = MUSTER_HOME / "mail" if not EMAIL_URL else None
if EMAIL_URL:
    try:
        vars().update(env.email_url_config(EMAIL_URL))
    except (ValueError, KeyError, ImproperlyConfigured):
        wrong("EMAIL_URL", "Write EMAIL_URL=smtp+tls://USER:PASSWORD@HOST:587")
else:
    EMAIL_BACKEND = "console.lib.eml.FolderBackend"
EMAIL_TIMEOUT = 20
# A mail service's API in place of SMTP: its anymail name (postmark, mailgun, brevo, amazon_ses …) and its settings.
MAIL_SERVICE = read("MAIL_SERVICE", str, "", "Write the name of a mail service as django-anymail knows it.")
ANYMAIL: dict[str, object] = read(
    "MAIL_SERVICE_SETTINGS",
    json_object,
    {},
    'Write django-anymail\'s settings as JSON, such as {"POSTMARK_SERVER_TOKEN": "…", "WEBHOOK_SECRET": "user:word"}.',
)
if MAIL_SERVICE:
    EMAIL_BACKEND, MAIL_FOLDER = f"anymail.backends.{MAIL_SERVICE}.EmailBackend", None
    if not ANYMAIL.get("WEBHOOK_SECRET"):
        wrong("MAIL_SERVICE_SETTINGS", 'Give a "WEBHOOK_SECRET" (user:word): without one anybody could report bounces.')
DEFAULT_FROM_EMAIL = read("MAIL_FROM", str, "Muster <no-reply@localhost>", "Write MAIL_FROM=Name <address>.")

# --- Celery: the doorbell (DESIGN.md, rule 5) -----------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_TIME_LIMIT = 1800
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 7200,
    "socket_keepalive": True,
    "socket_connect_timeout": 3,
    "health_check_interval": 20,
    # Whoever rings does not wait for a broker that is away: the row is written, and the sweep rings again.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
    "connect_retries_timeout": 2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers and beat wait for it as long as it takes
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_ALWAYS_EAGER = False

# --- agents -------------------------------------------------------------------------------------------------------
AGENT_INTERVAL = read("AGENT_INTERVAL", int, 30, "Write seconds between two heartbeats of an agent, 1 to 3600.")
if not 1 <= AGENT_INTERVAL <= 3600:
    wrong("AGENT_INTERVAL", "Write seconds between two heartbeats of an agent, 1 to 3600.")

# --- API ----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "console.lib.api.errors.handle",
    "DEFAULT_SCHEMA_CLASS": "console.lib.api.schema.Schema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Muster",
    "VERSION": "1",
    "DESCRIPTION": "New here? [Integrate in an afternoon](/api/docs/guide/) leads from a key to the first managed "
    "server, in a [sandbox](/api/docs/guide/sandbox/), and has it all as one script.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": ENUM_NAMES,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "console.lib.api.links.write",
        "console.lib.api.samples.write",
    ],
}
UNFOLD = {
    "SITE_TITLE": _("Muster staff"),
    "SITE_HEADER": _("Muster staff"),
    "SITE_SYMBOL": "dns",
    "SIDEBAR": {"navigation": "console.portal.staffnav.navigation"},
    "DASHBOARD_CALLBACK": "console.portal.staffnav.overview",
    "SCRIPTS": ["console.portal.staffnav.script"],
    "STYLES": ["console.portal.staffnav.style"],
    "COLORS": {  # around the accent of static/tokens.css
        "primary": {
            "50": "#f2f1fd",
            "100": "#e6e4fb",
            "200": "#d0ccf7",
            "300": "#b0a8f0",
            "400": "#8b7fe8",
            "500": "#6a5be0",
            "600": "#5446d6",
            "700": "#4437b4",
            "800": "#382f91",
            "900": "#2f2973",
            "950": "#1d1947",
        }
    },
}

# --- logs: one JSON object a line, with the request's id; never a secret --------------------------------------------
DJANGO_STRUCTLOG_CELERY_ENABLED = True
_shared: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.TimeStamper(fmt="iso"),
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.format_exc_info,
    seal.redact_event,  # last: a traceback may quote what it must not
]
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOG_LEVEL = read("LOG_LEVEL", level, "INFO", "Write DEBUG, INFO, WARNING or ERROR.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": _shared,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "paramiko": {"level": "ERROR"},  # it logs peers' banners and its own tracebacks; we raise faults instead
        "keystoneauth": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "django.server": {"level": "WARNING"},
        # Beat rings every few seconds; of work that went well the rows speak.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "django_structlog.celery": {"level": "WARNING"},
    },
}
