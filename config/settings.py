"""Every setting of Dreamfork, from the environment (see `config/env.py` for how a value is read).

The defaults are those of one machine: `manage.py up` starts PostgreSQL and Valkey in DREAMFORK_HOME.
A cluster sets DATABASE_URL, REDIS_URL, SECRET_KEY, DREAMFORK_HOSTS and, for media, S3.
"""

from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext

from config import env
from config.logs import logging_settings
from core import servers
from core.roles import ROLES

django_stubs_ext.monkeypatch()  # `QuerySet[Job]` and the like may be written in annotations

BASE_DIR = Path(__file__).resolve().parent.parent

# -- Where data lives -----------------------------------------------------------------------------------------------

HOME = Path(env.text("DREAMFORK_HOME", str(BASE_DIR / "var"))).expanduser().absolute()
BLOB_DIR = HOME / "blobs"  # media and checkpoints, named by their sha256
CACHE_DIR = HOME / "cache"  # may be deleted at any time

# -- The site -------------------------------------------------------------------------------------------------------

DEBUG = env.flag("DREAMFORK_DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY", "") or servers.secret_key(HOME)
SITE_URL = env.url("DREAMFORK_URL", "http://127.0.0.1:8000", schemes=("http", "https")).rstrip("/")
HTTPS = urlsplit(SITE_URL).scheme == "https"
ALLOWED_HOSTS = sorted({*env.words("DREAMFORK_HOSTS", []), "127.0.0.1", "localhost", urlsplit(SITE_URL).hostname or "localhost"})
CSRF_TRUSTED_ORIGINS = [SITE_URL]
# Behind nginx that sets (and overwrites) X-Forwarded-*; without a proxy those headers are a visitor's to forge.
BEHIND_PROXY = env.flag("DREAMFORK_BEHIND_PROXY", False)

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.time_zone("DREAMFORK_TIME_ZONE", "UTC")
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "axes",
    "csp",
    "core",
    "rollouts",
    "labeling",
    "training",
]

MIDDLEWARE = [
    "core.middleware.request_id",
    "core.middleware.measure",
    "core.middleware.asked_from_inside",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "core.middleware.expired_session",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "frontend" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.context.site",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [directory for directory in [BASE_DIR / "frontend" / "dist"] if directory.is_dir()]
STATIC_ROOT = env.text("DREAMFORK_STATIC_DIR", "") or None  # for collectstatic, where a proxy serves the static files
# The build is committed and small: it is served straight from where it lies, so nobody has to remember collectstatic.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# -- Servers --------------------------------------------------------------------------------------------------------

DATABASES = {"default": env.database("DATABASE_URL", servers.postgres_url(HOME))}
# Under ASGI a request has its own thread, so a persistent connection would never be met again.
DATABASES["default"]["CONN_MAX_AGE"] = 0

REDIS_URL = env.url("REDIS_URL", servers.valkey_url(HOME), schemes=("redis", "rediss", "unix"))
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL], "prefix": "dreamfork"}},
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "dreamfork",
        # A visitor must not wait for a broker that is away.
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    },
}


def _celery_spelling(url: str) -> str:
    """A socket's address as Celery writes it."""
    return url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=") if url.startswith("unix://") else url


# Celery only wakes workers: the job row is the truth. So a message may be lost or come twice without harm.
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL",
    _celery_spelling(REDIS_URL),
    schemes=("redis", "rediss", "redis+socket", "amqp", "amqps"),
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "system"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # Valkey may be away for as long as it likes; workers wait for it
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 15}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "run" / "beat-schedule")

# -- Jobs -----------------------------------------------------------------------------------------------------------

JOB_HEARTBEAT_SECONDS = env.number("DREAMFORK_JOB_HEARTBEAT_SECONDS", 5, low=1, high=60)
# A job whose heartbeat is older than this has lost its worker and is queued again.
JOB_STALE_SECONDS = env.number("DREAMFORK_JOB_STALE_SECONDS", 45, low=2, high=3600)
JOB_SWEEP_SECONDS = env.number("DREAMFORK_JOB_SWEEP_SECONDS", 10, low=1, high=600)
# How long a cancelled job may take to notice before its process is ended.
JOB_CANCEL_GRACE_SECONDS = env.number("DREAMFORK_JOB_CANCEL_GRACE_SECONDS", 15, low=1, high=600)
EVENT_KEEP_DAYS = env.number("DREAMFORK_EVENT_KEEP_DAYS", 30, low=1)
if JOB_STALE_SECONDS <= JOB_HEARTBEAT_SECONDS:
    raise env.BadSetting("DREAMFORK_JOB_STALE_SECONDS is too small; expected more than DREAMFORK_JOB_HEARTBEAT_SECONDS.")

# -- Media ----------------------------------------------------------------------------------------------------------

BLOB_STORAGE = env.text("DREAMFORK_BLOBS", "disk", choices=("disk", "s3"))
BLOB_ACCEL = env.flag("DREAMFORK_X_ACCEL", False)  # nginx sends the bytes; see docker/nginx.conf
STORAGES: dict[str, dict[str, object]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(HOME / "files")}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
S3_PUBLIC_ORIGIN = ""
if BLOB_STORAGE == "s3":
    S3_PUBLIC_ORIGIN = env.url("DREAMFORK_S3_ENDPOINT", "", schemes=("http", "https"))
    STORAGES["blobs"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": env.text("DREAMFORK_S3_BUCKET"),
            "endpoint_url": S3_PUBLIC_ORIGIN or None,
            "region_name": env.text("DREAMFORK_S3_REGION", "us-east-1"),
            "access_key": env.text("DREAMFORK_S3_ACCESS_KEY", "") or None,
            "secret_key": env.text("DREAMFORK_S3_SECRET_KEY", "") or None,
            "querystring_expire": 300,
            "file_overwrite": True,
            "signature_version": "s3v4",
            "addressing_style": "path" if S3_PUBLIC_ORIGIN else "auto",
        },
    }
else:
    STORAGES["blobs"] = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(BLOB_DIR)}}

# -- People ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "core:sign_in"
LOGIN_REDIRECT_URL = "core:home"
LOGOUT_REDIRECT_URL = "core:sign_in"
SIGN_IN_LINK_HOURS = env.number("DREAMFORK_SIGN_IN_LINK_HOURS", 24, low=1, high=24 * 30)
SESSION_COOKIE_AGE = env.number("DREAMFORK_SESSION_DAYS", 14, low=1, high=365) * 24 * 3600
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True

# Signing in by OpenID Connect, when an issuer is named. Its tables exist only then.
OIDC_ISSUER = env.url("DREAMFORK_OIDC_ISSUER", "", schemes=("https", "http")).rstrip("/")
OIDC_NAME = env.text("DREAMFORK_OIDC_NAME", "your organisation") if OIDC_ISSUER else ""
OIDC_DEFAULT_ROLE = env.text("DREAMFORK_OIDC_DEFAULT_ROLE", "none", choices=("none", *ROLES))
OIDC_ROLES_CLAIM = env.text("DREAMFORK_OIDC_ROLES_CLAIM", "")  # a claim that lists role names
if OIDC_ISSUER:
    INSTALLED_APPS += ["allauth", "allauth.account", "allauth.socialaccount", "allauth.socialaccount.providers.openid_connect"]
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
    AUTHENTICATION_BACKENDS.append("allauth.account.auth_backends.AuthenticationBackend")
    SOCIALACCOUNT_ONLY = True  # names and passwords stay with our own page
    ACCOUNT_EMAIL_VERIFICATION = "none"
    SOCIALACCOUNT_ADAPTER = "core.oidc.Adapter"
    SOCIALACCOUNT_AUTO_SIGNUP = True
    SOCIALACCOUNT_STORE_TOKENS = False
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": OIDC_NAME,
                    "client_id": env.text("DREAMFORK_OIDC_CLIENT_ID"),
                    "secret": env.text("DREAMFORK_OIDC_CLIENT_SECRET"),
                    "settings": {"server_url": OIDC_ISSUER},
                }
            ],
        }
    }

AXES_FAILURE_LIMIT = env.number("DREAMFORK_SIGN_IN_ATTEMPTS", 10, low=1)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "core.views.people.locked_out"
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_DISABLE_ACCESS_LOG = True
AXES_IPWARE_PROXY_COUNT = 1 if BEHIND_PROXY else 0
AXES_VERBOSE = False

# -- Headers --------------------------------------------------------------------------------------------------------


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


_media_origins = [_origin(S3_PUBLIC_ORIGIN)] if S3_PUBLIC_ORIGIN else (["https://*.amazonaws.com"] if BLOB_STORAGE == "s3" else [])
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:", *_media_origins],
        "media-src": ["'self'", "blob:", *_media_origins],
        "connect-src": ["'self'", *_media_origins],
        "worker-src": ["'self'", "blob:"],
        "manifest-src": ["'self'"],
        # A browser also holds the redirect after a form to this list.
        "form-action": ["'self'", *([_origin(OIDC_ISSUER)] if OIDC_ISSUER else [])],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked for from inside, without TLS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

# -- API ------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["core.api.authentication.TokenAuthentication", "core.api.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["core.api.permissions.HasAnyRole"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "core.api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "core.api.schema.ProblemSchema",
    "DEFAULT_THROTTLE_CLASSES": ["core.api.throttles.WriteThrottle"],
    "DEFAULT_THROTTLE_RATES": {"write": env.rate("DREAMFORK_API_WRITE_RATE", "1200/min")},
    "EXCEPTION_HANDLER": "core.api.problems.problem_handler",
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Dreamfork",
    "DESCRIPTION": "Scenarios, start frames, rollouts, comparisons, choices, rounds and policy versions.",
    "VERSION": "1",
    "SERVE_PERMISSIONS": ["core.api.permissions.HasAnyRole"],
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ScenarioStateEnum": "rollouts.models.scenarios.Scenario.State",
        "StartFrameStateEnum": "rollouts.models.frames.StartFrame.State",
        "MiningCandidateStateEnum": "rollouts.models.mining.MiningCandidate.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# -- Watching -------------------------------------------------------------------------------------------------------

METRICS_TOKEN = env.text("DREAMFORK_METRICS_TOKEN", "")  # a scraper's bearer token; without it only admins read /metrics
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_settings(
    level=env.text("DREAMFORK_LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    format=env.text("DREAMFORK_LOG_FORMAT", "console", choices=("console", "json")),
)

env.refuse_unknown()
