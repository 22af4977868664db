"""The forms about tenants. They check only what a form must; `tenants.services` has the last word."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from allauth.account.forms import LoginForm as AllauthLoginForm
from django import forms
from django.conf import settings
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.validators import RegexValidator

from tenants.accounts.adapters import AccountAdapter
from tenants.members.models import ApiToken, Role, User
from tenants.models import HOST_PATTERN, Tenant

# Without 0 O 1 l I: it is read from a screen and typed by hand.
_PASSWORD_CHARS: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105  # Not a password.
_GROUPS: Final = 4
_GROUP_CHARS: Final = 5


def password_generate() -> str:
    """A password of 20 random characters in groups: 116 bits."""
    return "-".join("".join(secrets.choice(_PASSWORD_CHARS) for _ in range(_GROUP_CHARS)) for _ in range(_GROUPS))


class TextInput(forms.TextInput):
    """Names and ids: no browser shall mend their spelling."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", **attrs})


class UsernameField(forms.CharField):
    """A user name, by the rules of the user model."""

    def __init__(self, **options: Any) -> None:
        length: int | None = User._meta.get_field("username").max_length
        super().__init__(max_length=length, validators=[UnicodeUsernameValidator()], widget=TextInput(), **options)


class LoginForm(AllauthLoginForm):  # type: ignore[misc]  # allauth carries no types that mypy reads
    """allauth's, in our words, and for those only who may come in at this host."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["login"].label = "User name"
        self.fields["login"].widget = TextInput(autocomplete="username", autofocus=True)
        self.fields["password"].label = "Password"
        self.fields["password"].widget.attrs.pop("placeholder", None)
        self.fields["password"].help_text = ""

    def clean(self) -> Any:
        cleaned = super().clean()
        user = self.user
        is_public = getattr(self.request, "tenant", None) is None
        if user is not None and not (user.is_staff and (user.is_superuser or not is_public)):
            # On the public host only admins of the platform. Whoever is none learns nothing.
            raise forms.ValidationError(AccountAdapter.error_messages["username_password_mismatch"])
        return cleaned


class TenantForm(forms.Form):
    """A new tenant, and if wanted its first admin."""

    name = forms.CharField(
        max_length=200,
        required=False,
        widget=TextInput(autofocus=True, placeholder="Acme Corporation"),
        help_text="The name people see. Left empty, it is the short name.",
    )
    slug = forms.CharField(
        label="Short name",
        max_length=40,
        validators=Tenant._meta.get_field("slug").validators,
        widget=TextInput(placeholder="acme"),
        help_text="Lower-case letters, digits and hyphens.",
    )
    admin_username = UsernameField(
        label="First admin's user name",
        required=False,
        help_text="This person can log in on the tenant's host and manage everything there. "
        "A password is generated and shown to you once.",
    )
    domain = forms.CharField(
        label="A host name of its own",
        max_length=253,
        required=False,
        validators=[RegexValidator(HOST_PATTERN, "A host name, like assets.acme.example.")],
        widget=TextInput(placeholder="assets.acme.example"),
        help_text="Besides the one with its short name. Its DNS must point here; ATLASCO_ALLOWED_HOSTS must name it.",
    )
    dedicated = forms.BooleanField(
        label="Partitions of its own",
        required=False,
        help_text="For a tenant that will grow to millions of entities. Small ones are served faster from shared ones.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["slug"].help_text += f" The tenant's pages will be at SHORT-NAME.{settings.BASE_DOMAIN}."


_SORTS: Final = [("", "By short name"), ("name", "By name"), ("newest", "Newest first"), ("oldest", "Oldest first")]


class TenantFilterForm(forms.Form):
    """What the list of tenants can be narrowed by, and its order."""

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=[("", "Any status"), *Tenant.Status.choices])
    placement = forms.ChoiceField(required=False, choices=[("", "Any placement"), *Tenant.Placement.choices])
    sort = forms.ChoiceField(required=False, choices=_SORTS)


class AuditFilterForm(forms.Form):
    """What the audit log can be narrowed by."""

    actor = forms.CharField(required=False, max_length=200)
    action = forms.CharField(required=False, max_length=60)
    subject = forms.CharField(required=False, max_length=1000)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(
        max_length=100,
        widget=TextInput(autofocus=True, placeholder="Nightly import"),
        help_text="What it is for, so that you know later what breaks when you revoke it.",
    )
    scopes = forms.MultipleChoiceField(
        label="May",
        choices=[
            (ApiToken.Scope.READ.value, "Read: search, look up, aggregate"),
            (ApiToken.Scope.WRITE.value, "Write: create, change, delete, import"),
        ],
        initial=[ApiToken.Scope.READ.value],
        widget=forms.CheckboxSelectMultiple(),
        error_messages={"required": "Choose at least one: a token that may do nothing is of no use."},
    )
    expires = forms.ChoiceField(
        label="Expires",
        choices=[("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("never", "Never")],
        initial="90",
        help_text="An expired token stops working; you can see it in the list and make a new one.",
    )

    def expires_at(self, *, now: datetime) -> datetime | None:
        """The instant that was chosen; None for never."""
        days = self.cleaned_data["expires"]
        return None if days == "never" else now + timedelta(days=int(days))


class RenameForm(forms.Form):
    """Another name, another short name."""

    name = forms.CharField(max_length=200, widget=TextInput(autofocus=True))
    slug = forms.CharField(
        label="Short name", max_length=40, validators=Tenant._meta.get_field("slug").validators, widget=TextInput()
    )


class QuotasForm(forms.Form):
    """How much a tenant may have; empty means no limit."""

    quota_entities = forms.IntegerField(label="Entities", required=False, min_value=0)
    quota_values = forms.IntegerField(label="Values, across all entities", required=False, min_value=0)
    quota_attributes = forms.IntegerField(label="Attribute names", required=False, min_value=0)
    quota_requests_per_s = forms.IntegerField(
        label="API requests a second",
        required=False,
        min_value=1,
        help_text="More are answered 429, with the time after which to try again. Two seconds' worth may come at once.",
    )


class DeleteForm(forms.Form):
    """The short name, typed again."""

    confirm = forms.CharField(label="Type the tenant's short name", max_length=40, widget=TextInput())


class SettingsForm(forms.Form):
    """What a tenant's admins decide."""

    mfa_required = forms.BooleanField(
        label="Everybody must have a second factor",
        required=False,
        help_text="Members without one are asked to set it up on their next visit; nobody is logged out.",
    )


class MemberForm(forms.Form):
    """A new member of a tenant."""

    username = UsernameField(label="User name", help_text="What this person types to log in.")
    email = forms.EmailField(label="E-mail", required=False, widget=forms.EmailInput({"autocomplete": "off"}))
    role = forms.ChoiceField(
        choices=[
            (Role.VIEWER.value, "Viewer: looks at data, changes nothing"),
            (Role.EDITOR.value, "Editor: changes data, imports, saves searches"),
            (Role.ADMIN.value, "Admin: also people, tokens and settings"),
        ],
        initial=Role.VIEWER.value,
        widget=forms.RadioSelect(),
    )


class MemberChangeForm(MemberForm):
    """What can be changed of a member. The user name can't: the audit log knows people by it."""

    username = None  # type: ignore[assignment]  # Django's way to leave a field of the parent out.
    active = forms.BooleanField(
        label="May log in",
        required=False,
        help_text="Without it this member is logged out everywhere at once. What is theirs stays.",
    )
