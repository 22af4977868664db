"""Atlasco's settings: everything from the environment, works from a fresh clone.

A running embedded stack leaves its addresses in the run directory; they fill in what the environment does not set, so
that `manage.py create_tenant …` in a second terminal talks to the stack that `make up` started.
Rules between settings are system checks (`checks.py` of each app).
"""

from __future__ import annotations

import secrets
import socket
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from atlasco.lib import env
from atlasco.lib.databases import NOTICE_A_DEAD_SERVER, database_parse

BASE_DIR = Path(__file__).resolve().parent.parent.parent
RUN_DIR = Path(
    env.text("ATLASCO_RUN_DIR", str(BASE_DIR / ".run"), help="Where the embedded stack keeps data, logs and secrets.")
).resolve()
# Whoever names another primary must not get this stack's replicas, owner or replication role with it.
RUN_DIR_IS_OURS = env.file_is_of(RUN_DIR / "stack.env", "DATABASE_URL")
env.load_file(
    RUN_DIR / "stack.env",
    together={"DATABASE_URL": {"REPLICA_URLS", "DATABASE_OWNER_URL", "DATABASE_REPLICATION_URL"}},
)

# They read the environment, which the file above fills in; Django looks for every name here.
from atlasco.settings.accounts import *  # noqa: E402, F403  # See above.
from atlasco.settings.limits import *  # noqa: E402, F403  # See above.

# --- Who we are -------------------------------------------------------------------------------------------------------
DEBUG = env.flag("ATLASCO_DEBUG", False, help="Django's debug pages. Never where strangers can reach the server.")
SECRET_KEY = env.text(
    "ATLASCO_SECRET_KEY", help="Signs sessions, cursors and consistency tokens. Same on every process."
)
SECRET_KEY_IS_GENERATED = not SECRET_KEY
if SECRET_KEY_IS_GENERATED:
    # Enough for commands; `atlasco.serving` warns before anything is served with it.
    SECRET_KEY = secrets.token_urlsafe(48)

BASE_DOMAIN = env.text(
    "ATLASCO_BASE_DOMAIN", "localhost", help="Tenants answer on SLUG.BASE_DOMAIN; admins on BASE_DOMAIN."
)
PUBLIC_HOSTS = [
    BASE_DOMAIN,
    "127.0.0.1",
    "[::1]",
    *env.words("ATLASCO_PUBLIC_HOSTS", help="Further names of the public host."),
]
ALLOWED_HOSTS = [
    *PUBLIC_HOSTS,
    f".{BASE_DOMAIN}",
    socket.gethostname(),
    *env.words("ATLASCO_ALLOWED_HOSTS", help="Further Host headers to accept, comma separated."),
]
CSRF_TRUSTED_ORIGINS = env.words("ATLASCO_TRUSTED_ORIGINS", help="Origins of forms behind a proxy, with scheme.")

ROOT_URLCONF = "atlasco.urls"
WSGI_APPLICATION = "atlasco.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "members.User"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH: list[str] = []

# --- Apps -------------------------------------------------------------------------------------------------------------
# Private and small: one copy of these tables in each tenant's schema, and one in `public` for platform admins.
TENANT_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.admin",
    "tenants.members",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "axes",
]
SHARED_APPS = [
    "atlasco",
    "unfold",  # Before django_tenants, or its sidebar breaks.
    "unfold.contrib.filters",
    "tenants.notices",
    "tenants",  # Before django_tenants: of two commands with one name, the earlier app's is run.
    "django_tenants",
    "freshness",
    "entities",
    "analytics",
    *TENANT_APPS,
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
INSTALLED_APPS = list(SHARED_APPS)
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
PUBLIC_SCHEMA_NAME = "public"

MIDDLEWARE = [
    "atlasco.middleware.RequestIdMiddleware",
    "atlasco.health.HealthMiddleware",  # Before all that looks at the host.
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "atlasco.middleware.PermissionsPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "freshness.middleware.FreshnessMiddleware",
    "tenants.middleware.TenantMiddleware",
    "tenants.traffic.TrafficMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.accounts.sessions.SessionUseMiddleware",
    "tenants.middleware.OriginMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # Last: it replaces the answer to a log-in.
]
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
            ]
        },
    }
]

# --- Stores -----------------------------------------------------------------------------------------------------------
DATABASE_URL = env.text(
    "DATABASE_URL",
    "postgresql://atlasco_app@127.0.0.1:5432/atlasco",
    help="The PostgreSQL primary, as the role that owns nothing and can't bypass row-level security.",
)
DATABASE_OWNER_URL = env.text(
    "DATABASE_OWNER_URL", help="The same database as the tables' owner: migrations only; no serving process needs it."
)
DATABASE_REPLICATION_URL = env.text(
    "DATABASE_REPLICATION_URL",
    help="The primary as a role with REPLICATION: the change feed and its commands only; no serving process needs it.",
)
POSTGRES_FLAVOUR = env.text(
    "ATLASCO_POSTGRES", "vanilla", help="How positions of the log are asked for: `vanilla` or `aurora`."
)
REPLICA_URLS = env.words("REPLICA_URLS", help="Streaming replicas, comma separated, same role as DATABASE_URL.")
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379", help="Valkey or Redis: Celery's broker and the hot cache.")
CLICKHOUSE_URL = env.text(
    "CLICKHOUSE_URL", "http://127.0.0.1:8123/atlasco", help="ClickHouse over HTTP, user and password in the URL."
)
CLICKHOUSE_CLUSTER = env.text(
    "ATLASCO_CLICKHOUSE_CLUSTER", help="Make ClickHouse's tables ON this CLUSTER, with Replicated engines."
)
KAFKA_BOOTSTRAP_SERVERS = env.words(
    "KAFKA_BOOTSTRAP_SERVERS", help="Brokers, comma separated. Nothing reads them yet; a check at the start says so."
)
CACHE_TTL_S = env.integer(
    "ATLASCO_CACHE_TTL_S",
    3600,
    help="An entity that nobody reads or writes leaves the hot cache after this.",
    minimum=1,
)
CACHE_MAX_BYTES = env.integer(
    "ATLASCO_CACHE_MAX_BYTES",
    512 << 20,
    help="Close to this much memory in use, Valkey gets no new cached entities.",
    minimum=1 << 20,
)
CONNECTION_MAX_AGE_S = env.integer(
    "ATLASCO_CONNECTION_MAX_AGE_S", 60, help="How long a database connection is kept between requests.", minimum=0
)
STATEMENT_TIMEOUT_MS = env.integer(
    "ATLASCO_STATEMENT_TIMEOUT_MS", 30_000, help="A statement of a web request is cancelled after this.", minimum=0
)

DECISIONS_PER_S = env.number(
    "ATLASCO_DECISIONS_PER_S",
    5,
    help="How many answers a second can be explained for 24 h, in each web process; of those with `?explain=route`, "
    "ten times as many.",
)
SLA_OBJECTIVE = env.number(
    "ATLASCO_SLA_OBJECTIVE", 0.999, help="The share of answers that must keep their freshness; the rest is the budget."
)
OPERATORS = env.words(
    "ATLASCO_OPERATORS", help="Whom to tell of late or lost stores: e-mail addresses and URLs of webhooks."
)
PAGE_CLASS = env.text(
    "ATLASCO_PAGE_CLASS",
    "operational",
    help="How fresh pages in the browser are: a query class, `critical` for the primary, `operational` for replicas.",
)
ESCALATIONS_PER_S = env.number(
    "ATLASCO_ESCALATIONS_PER_S",
    200,
    help="Reads a second that may move to the primary because replicas lag, in each web process.",
)
ESCALATIONS_PER_S_TENANT = env.number("ATLASCO_ESCALATIONS_PER_S_TENANT", 50, help="The same for one tenant.")

PROMOTE_ENTITIES = env.integer(
    "ATLASCO_PROMOTE_ENTITIES",
    1_000_000,
    help="A tenant of so many entities is proposed for partitions of its own.",
    minimum=1,
)
ARCHIVE_MONTHS = env.integer(
    "ATLASCO_ARCHIVE_MONTHS", 0, help="Months older than this are proposed for the archive; 0 proposes none.", minimum=0
)


def _database(url: str, **test: object) -> dict[str, object]:
    parsed = database_parse(url, engine="tenants.database", conn_max_age=CONNECTION_MAX_AGE_S)
    parsed["CONN_HEALTH_CHECKS"] = True
    # Generic plans lock every leaf of the partition tree (729 ms on the first call); custom plans prune first.
    parsed["OPTIONS"] = {
        **NOTICE_A_DEAD_SERVER,
        "connect_timeout": 2,  # Seconds, the least that libpq takes: a read has other databases to ask.
        **parsed.get("OPTIONS", {}),
        "options": f"-c plan_cache_mode=force_custom_plan -c statement_timeout={STATEMENT_TIMEOUT_MS}",
        "application_name": "atlasco",
    }
    parsed["TEST"] = test
    return dict(parsed)


def _redis_database(url: str, number: int) -> str:
    """The address of one of the server's numbered databases; a number that the URL names itself gives way."""
    parts = urlsplit(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "db"])
    return parts._replace(path=f"/{number}", query=query).geturl()


DATABASES = {"default": _database(DATABASE_URL)}
REPLICA_ALIASES = [f"replica{n}" for n in range(1, len(REPLICA_URLS) + 1)]
for _alias, _url in zip(REPLICA_ALIASES, REPLICA_URLS, strict=True):
    DATABASES[_alias] = _database(_url, MIRROR="default")
DATABASE_ROUTERS = ["freshness.routers.FreshnessRouter", "django_tenants.routers.TenantSyncRouter"]

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": _redis_database(REDIS_URL, 1),
        "KEY_PREFIX": "atlasco",
        "KEY_FUNCTION": "tenants.accounts.adapters.cache_key",
        # A cache that is down is a miss: no answer may depend on it.
        "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
    }
}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True

# --- Celery -----------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = _redis_database(REDIS_URL, 0)
# A broker that is away or hangs fails a request after seconds; without these it would wait for ever.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 5}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True  # A killed worker's task runs again: every task is safe to run twice.
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_TIME_LIMIT = 3600
CELERY_TIMEZONE = "UTC"

# --- API --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.api.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.api.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.quotas.TenantThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["atlasco.lib.json_api.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["atlasco.lib.json_api.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "atlasco.api.problem_response",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Atlasco API",
    "VERSION": "1",
    "DESCRIPTION": "Entities with attributes nobody declared beforehand. Every answer says how fresh it is.",
    "SERVE_PUBLIC": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "POSTPROCESSING_HOOKS": ["atlasco.openapi.freshness_describe"],
}
# --- Notices ----------------------------------------------------------------------------------------------------------
_MAIL = env.mail(
    "ATLASCO_EMAIL_URL",
    help="How e-mail is sent: smtp://USER:PASSWORD@HOST:PORT, smtp+tls://…, smtps://…, or console:. Unset: not at all.",
)
EMAIL_BACKEND = f"django.core.mail.backends.{_MAIL.backend}.EmailBackend"
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.host, _MAIL.port, _MAIL.user, _MAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL, EMAIL_TIMEOUT = _MAIL.is_tls, _MAIL.is_ssl, 10
EMAIL_IS_CONFIGURED = _MAIL.backend != "dummy"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text(
    "ATLASCO_EMAIL_FROM", f"atlasco@{BASE_DOMAIN}", help="The sender of e-mail."
)
WEBHOOKS_TO_PRIVATE = env.flag(
    "ATLASCO_WEBHOOKS_TO_PRIVATE", False, help="Webhooks may go to private addresses, this machine's own among them."
)

# --- Indexes of attributes --------------------------------------------------------------------------------------------
INDEX_AUTOPILOT = env.text(
    "ATLASCO_INDEX_AUTOPILOT",
    "propose",
    help="propose: say which attributes are worth an index; auto: build and drop them, too.",
)
INDEX_MAX = env.integer(
    "ATLASCO_INDEX_MAX",
    50,
    minimum=0,
    help="Indexes of attributes that the autopilot builds for one tenant at the most.",
)

# --- Demo -------------------------------------------------------------------------------------------------------------
DEMO_RATE = env.number(
    "ATLASCO_DEMO_RATE", 20, help="Flights per second that the demo replays, once it was loaded; 0 stops it."
)

# --- Uploaded files ---------------------------------------------------------------------------------------------------
MEDIA_ROOT = RUN_DIR / "media"  # Imports that wait for a worker. Web and worker must see the same folder.
FILE_UPLOAD_PERMISSIONS = 0o600  # They are a customer's data.
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATICFILES_DIRS = [BASE_DIR / "atlasco" / "static"]
WHITENOISE_USE_FINDERS = True  # Served from the packages themselves: no collect step to forget.

# --- Admin ------------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Atlasco",
    "SITE_HEADER": "Atlasco",
    "SITE_SUBHEADER": "atlasco.navigation.site_subheader",
    "SITE_URL": None,
    "SITE_ICON": "atlasco.navigation.site_icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "atlasco.navigation.site_icon"}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["atlasco.navigation.stylesheet"],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": "atlasco.navigation.sidebar"},
}

# --- Logging ----------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "atlasco.logs.ContextFilter"}},
    "formatters": {"line": {"()": "atlasco.logs.LineFormatter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "filters": ["context"], "formatter": "line", "stream": sys.stderr}
    },
    "root": {
        "handlers": ["stderr"],
        "level": env.text("ATLASCO_LOG_LEVEL", "INFO", help="DEBUG, INFO, WARNING or ERROR."),
    },
    "loggers": {"django.request": {"level": "ERROR"}},
}
