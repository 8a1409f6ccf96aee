"""Django's settings, composed from what project/env.py has read. Nothing is decided twice here."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_stubs_ext
import structlog

from outbound.policy import policy_make
from project import env
from project.database import Timeouts, database_settings
from project.settings_shown import settings_shown

# Before any app is loaded: classes such as Field take type arguments from now on.
django_stubs_ext.monkeypatch()

_deployment = env.deployment_read()

BASE_DIR = env.BASE_DIR
DATA_DIR = _deployment.data_dir
SECRET_KEY = _deployment.secret_key
FIELD_ENCRYPTION_KEYS = list(_deployment.field_encryption_keys)
DEBUG = False

# What Handrail's own rooms read.
AUTH_MODE = _deployment.auth_mode
CONVERSATION_MAX_AGE_SECONDS = _deployment.conversation_max_age_seconds
RETENTION_DAYS = _deployment.retention_days
MAX_CONCURRENT_CONVERSATIONS = _deployment.max_concurrent_conversations
EXECUTOR = _deployment.executor
RUNTIME = _deployment.runtime
SANDBOX_TIMEOUT = _deployment.sandbox_timeout
SANDBOX_CLOSE_DELAY = _deployment.sandbox_close_delay
SANDBOX_NETWORK = _deployment.sandbox_network
LEASE_SECONDS = _deployment.lease_seconds
WORKER_GRACE_SECONDS = _deployment.worker_grace_seconds
MAX_ITERATIONS = _deployment.max_iterations
MAX_TURN_SECONDS = _deployment.max_turn_seconds
MAX_BUDGET_PER_TASK = _deployment.max_budget_per_task
LLM_MODEL = _deployment.llm_model
LLM_API_KEY = _deployment.llm_api_key
LLM_BASE_URL = _deployment.llm_base_url
#: None where the user owns the machine: then nothing is checked.
OUTBOUND_POLICY = (
    policy_make(
        allowed=_deployment.llm_base_url_allow,
        trusted_url=LLM_BASE_URL,
        proxied=_deployment.proxied,
    )
    if AUTH_MODE == "accounts"
    else None
)
TRUSTED_PROXIES = _deployment.trusted_proxies
REQUEST_THROTTLE = _deployment.request_throttle
WEB_CLIENT_DIR = _deployment.web_client_dir
LOG_FORMAT = _deployment.log_format
#: Empty: there is no /metrics.
METRICS_TOKEN = _deployment.metrics_token
#: For `manage.py show_settings`; nothing works with it, and no secret is in it.
SETTINGS_SHOWN = settings_shown(_deployment)

ALLOWED_HOSTS = list(_deployment.allowed_hosts)
APPEND_SLASH = False
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024
#: A chat message with images.
MAX_SOCKET_MESSAGE_BYTES = 20 * 1024 * 1024

INSTALLED_APPS = [
    "django.contrib.messages",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "axes",
    # Before ours, whose queue is its own; its tables are for PostgreSQL only.
    *(["procrastinate.contrib.django"] if EXECUTOR == "procrastinate" else []),
    "settings_app",
    "conversations",
    # Last: its templates stand behind ours, and its groups need every app's permissions.
    "project.console.ConsoleConfig",
]
MIDDLEWARE = [
    "project.request_metrics.route_note",
    "project.request_log.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "project.api_errors.DatabaseAway",
]

# What our own pages need, out of the packages where it lies: nothing has to be collected.
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 0
WHITENOISE_ALLOW_ALL_ORIGINS = False
if WEB_CLIENT_DIR is not None:
    WHITENOISE_ROOT = WEB_CLIENT_DIR
    # Their names change with what is in them: cached for ever.
    WHITENOISE_IMMUTABLE_FILE_TEST = r"^/assets/"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

AUTH_USER_MODEL = "settings_app.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
# After ten wrong passwords for one name from one address nobody tries on for a quarter of an hour.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "settings_app.login.locked_out"
REST_KNOX = {"TOKEN_TTL": timedelta(days=365), "AUTH_HEADER_PREFIX": "Token"}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_ENGINE = "settings_app.sessions"
# Local mode is plain HTTP on loopback, where not every browser sends a secure cookie back.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = AUTH_MODE == "accounts"
# TLS ends at the proxy in front: redirects and HSTS are its own.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]
if AUTH_MODE == "accounts":
    # For a proxy that is not among TRUSTED_PROXIES: the login form's Origin is https all the same.
    CSRF_TRUSTED_ORIGINS = [
        f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS
    ]


DATABASE_TIMEOUTS = Timeouts(
    connect=_deployment.database_connect_timeout,
    network=_deployment.database_network_timeout,
    statement=_deployment.database_statement_timeout,
    lock=_deployment.database_lock_timeout,
    idle=_deployment.database_idle_timeout,
)
_in_a_file = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": str(DATA_DIR / "handrail.sqlite3"),
}
DATABASES = {"default": database_settings(_deployment.database or _in_a_file, DATABASE_TIMEOUTS)}
#: Requests that Django handles at once, each with a connection of its own.
WEB_THREADS = _deployment.web_threads

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["project.json_parser.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "project.negotiation.JSONNegotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": (
        ["settings_app.authentication.LocalUserAuthentication"]
        if AUTH_MODE == "local"
        # The first one's challenge makes the answer to nobody a 401.
        else [
            f"settings_app.authentication.{name}"
            for name in ("TokenAuthentication", "AccountAuthentication")
        ]
    ),
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": (
        ["settings_app.throttle.RequestThrottle"] if REQUEST_THROTTLE else []
    ),
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "project.api_errors.exception_handler",
    # There is one format, so ?format= is an ordinary parameter.
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Handrail",
    "DESCRIPTION": "Durable conversations for coding agents.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["project.documentation.complete"],
    # Who may ask is said once for all, by `complete`.
    "AUTHENTICATION_WHITELIST": [],
    # What an answer always has need not be sent, and the other way round.
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # As for the rest of the API.
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SERVE_INCLUDE_SCHEMA": False,
}

_LOG_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    # Named ones only: Django adds whole requests to its records.
    structlog.stdlib.ExtraAdder(allow=["status_code"]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
structlog.configure(
    processors=[*_LOG_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
_LOG_RENDERERS: dict[str, list[Any]] = {
    "json": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    # The plain traceback: the default one prints local variables, and keys and messages with them.
    "console": [
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )
    ],
}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _LOG_PROCESSORS,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_LOG_RENDERERS[LOG_FORMAT],
            ],
        }
    },
    "filters": {"client_faults": {"()": "project.log_filters.ClientFaults"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Its own handlers would print a record twice, or mail it.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "uvicorn.error": {"filters": ["client_faults"]},
        # Two lines a job: what a turn does has lines of its own.
        "procrastinate": {"level": "WARNING"},
    },
}
