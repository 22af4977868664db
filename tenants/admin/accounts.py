"""Coming in and one's own account: log-in, password, second factor, sessions. django-allauth's views in our shell.

The paths keep allauth's names, since its own code looks them up; what it has beyond these (signing up, several e-mail
addresses) does not exist here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.usersessions import views as usersessions
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, re_path, reverse_lazy

from tenants.admin.management import ActingEnd, ActingEnter
from tenants.admin.pages import request_host_tenant

# allauth's own labels, in the case and the words of ours.
_LABELS: Final = {
    "oldpassword": "Current password", "password": "Password", "password1": "New password",
    "password2": "New password, again", "email": "E-mail", "code": "Code",
}  # fmt: skip


class _Shell:
    """Gives a view of allauth the context and the manners of our shell."""

    site: ClassVar[AdminSite]
    title: ClassVar[str] = ""
    nav: ClassVar[str] = "account"
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.nav = self.nav  # type: ignore[attr-defined]  # For the sidebar.
        shell = self.site.each_context(self.request)
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]  # Of the view beside it.
        form: Any = context.get("form")
        for name, field in getattr(form, "fields", {}).items():
            # A form that was sent has its bound fields already, with the labels of before.
            form[name].label = field.label = _LABELS.get(name, field.label)
            field.widget.attrs.pop("placeholder", None)  # It repeats the label.
        return {**shell, "title": self.title, "crumbs": (), "email_works": settings.EMAIL_IS_CONFIGURED, **context}


class _Own(_Shell):
    """A page about one's own account. A platform admin who acts as a tenant has none there."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if getattr(request.user, "is_acting", False):
            raise Http404
        is_public = request_host_tenant(request) is None
        if is_public and request.user.is_authenticated and not self.site.has_permission(request):
            raise Http404  # As on every page of the public host: admins only.
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # As above.
        return response


def account_urls(site: AdminSite) -> list[URLPattern]:
    """The paths of one's own account, below /admin/."""

    def door(view: type[Any], title: str) -> Any:
        made: Any = type(view.__name__, (_Shell, view), {"site": site, "title": title})
        return made.as_view()

    def own(view: type[Any], title: str, **attributes: Any) -> Any:
        made: Any = type(view.__name__, (_Own, view), {"site": site, "title": title, **attributes})
        return login_required(made.as_view())

    return [
        path("act/", ActingEnter.as_view(), name="acting_enter"),
        path("act/end/", ActingEnd.as_view(), name="acting_end"),
        path("login/", door(account.LoginView, "Log in"), name="account_login"),
        path("logout/", account.LogoutView.as_view(), name="account_logout"),
        path("login/code/", door(mfa.AuthenticateView, "Second factor"), name="mfa_authenticate"),
        path("login/inactive/", door(account.AccountInactiveView, "Deactivated"), name="account_inactive"),
        path("password/reset/", door(account.PasswordResetView, "New password"), name="account_reset_password"),
        path(
            "password/reset/sent/",
            door(account.PasswordResetDoneView, "Check your e-mail"),
            name="account_reset_password_done",
        ),
        re_path(
            r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
            door(account.PasswordResetFromKeyView, "Choose a new password"),
            name="account_reset_password_from_key",
        ),
        path(
            "password/reset/done/",
            door(account.PasswordResetFromKeyDoneView, "Your password is changed"),
            name="account_reset_password_from_key_done",
        ),
        path("account/confirm/", own(account.ReauthenticateView, "Confirm it is you"), name="account_reauthenticate"),
        path("account/confirm/code/", own(mfa.ReauthenticateView, "Confirm it is you"), name="mfa_reauthenticate"),
        path(
            "password_change/",
            own(account.PasswordChangeView, "Change password", success_url=reverse_lazy("mfa_index")),
            name="account_change_password",
        ),
        path("account/", own(mfa.IndexView, "Your account"), name="mfa_index"),
        path("account/totp/", own(totp.ActivateTOTPView, "Set up a second factor"), name="mfa_activate_totp"),
        path("account/totp/off/", own(totp.DeactivateTOTPView, "Remove the second factor"), name="mfa_deactivate_totp"),
        path("account/codes/", own(codes.ViewRecoveryCodesView, "Recovery codes"), name="mfa_view_recovery_codes"),
        path(
            "account/codes/new/",
            own(codes.GenerateRecoveryCodesView, "New recovery codes"),
            name="mfa_generate_recovery_codes",
        ),
        path("account/codes/download/", own(codes.DownloadRecoveryCodesView, ""), name="mfa_download_recovery_codes"),
        path("account/sessions/", own(usersessions.ListUserSessionsView, "Sessions"), name="usersessions_list"),
    ]
