"""What a tenant's admins decide for their tenant."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tenants.admin.forms import SettingsForm
from tenants.admin.pages import TenantPage
from tenants.members.models import Role
from tenants.services import tenant_mfa_require


class TenantSettings(TenantPage):
    """Whether everybody must have a second factor."""

    role_required = Role.ADMIN
    nav = "settings"
    title = "Settings"
    template_name = "atlasco/tenants/settings.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(form=SettingsForm({"mfa_required": self.scope.tenant.mfa_required}))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = SettingsForm(request.POST)
        if not form.is_valid():
            return self.render(form=form)
        tenant_mfa_require(tenant=self.scope.tenant, required=form.cleaned_data["mfa_required"])
        return self.leave(self.scope.url("settings"), "The settings are saved.")
