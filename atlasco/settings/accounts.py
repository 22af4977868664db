"""Who gets in and how: cookies, what browsers are told, log-ins, second factors, locks."""

from __future__ import annotations

from datetime import timedelta

from csp import constants as csp

from atlasco.lib import env

# --- Safety -----------------------------------------------------------------------------------------------------------
BEHIND_TLS = env.flag("ATLASCO_BEHIND_TLS", False, help="A TLS proxy stands in front: secure cookies and HSTS.")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_TLS  # The tenants' hosts.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# No inline script or style, no eval, no other hosts. `data:` is for the picture of a second factor's key.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.SELF],
        "script-src": [csp.SELF],
        "style-src": [csp.SELF],
        "img-src": [csp.SELF, "data:"],
        "object-src": [csp.NONE],
        "base-uri": [csp.NONE],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
    }
}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"

# --- Accounts ---------------------------------------------------------------------------------------------------------
SESSION_IDLE_MINUTES = env.integer(
    "ATLASCO_SESSION_IDLE_MINUTES", 480, help="A session that nobody uses for so long has ended.", minimum=1
)
SESSION_COOKIE_AGE = SESSION_IDLE_MINUTES * 60  # Renewed while in use: tenants.accounts.sessions.
ADMIN_MFA_REQUIRED = env.flag(
    "ATLASCO_ADMIN_MFA_REQUIRED",
    False,
    help="Platform admins must have a second factor. Tenants decide for themselves.",
)
PASSWORD_RESET_TIMEOUT = 3600  # Seconds; the pages say an hour.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
ACCOUNT_ADAPTER = "tenants.accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SESSION_REMEMBER = True  # As long as it is used; see SESSION_COOKIE_AGE.
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_FORMS = {"login": "tenants.admin.forms.LoginForm"}
# By address, whatever the user name; and by user name, wherever from. django-axes locks one name from one address.
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "30/m/ip,20/5m/key"}
MFA_ADAPTER = "tenants.accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_RECOVERY_CODES_SHOW_ONCE = False
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=5)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "tenants.accounts.lockout.lockout_answer"
AXES_CLIENT_IP_CALLABLE = "tenants.actors.request_ip"
AXES_USERNAME_FORM_FIELD = "login"
AXES_USERNAME_CALLABLE = "tenants.accounts.lockout.attempted_name"
AXES_DISABLE_ACCESS_LOG = True  # The audit log has it.
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
