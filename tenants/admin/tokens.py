"""A tenant's API tokens: the list, a new one that is shown once, revoke."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from tenants.admin.forms import TokenForm
from tenants.admin.pages import TenantPage, problem_show
from tenants.members.models import Role
from tenants.selectors import tenant_domain, token_get, tokens_read
from tenants.services import token_create, token_revoke

TOKENS_MAX = 200


class TokenList(TenantPage):
    """Every token of the tenant, newest first, ended ones too."""

    role_required = Role.ADMIN
    nav = "tokens"
    title = "Tokens"
    template_name = "atlasco/tokens/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(tokens=tokens_read(tenant=self.scope.tenant, limit=TOKENS_MAX), now=clock.now())


class TokenCreate(TenantPage):
    """A new token. Its secret is in the answer to the POST and nowhere else."""

    role_required = Role.ADMIN
    nav = "tokens"
    title = "New token"
    template_name = "atlasco/tokens/new.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._form(TokenForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = TokenForm(request.POST)
        if not form.is_valid():
            return self._form(form)
        now, tenant = clock.now(), self.scope.tenant
        try:
            token, secret = token_create(
                tenant=tenant,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at(now=now),
                now=now,
            )
        except Problem as problem:
            problem_show(form, problem)
            return self._form(form)
        return self.render(
            "atlasco/tokens/secret.html",
            title="Copy your token now",
            crumbs=(("Tokens", self.scope.url("tokens")),),
            token=token,
            secret=secret,
            host=tenant_domain(tenant=tenant),
            continue_url=self.scope.url("tokens"),
        )

    def _form(self, form: TokenForm) -> HttpResponseBase:
        return self.render(form=form, crumbs=(("Tokens", self.scope.url("tokens")),))


class TokenRevoke(TenantPage):
    """Ask, then end a token for good."""

    role_required = Role.ADMIN
    nav = "tokens"
    title = "Revoke"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, token_id: int) -> HttpResponseBase:
        token = token_get(tenant=self.scope.tenant, token_id=token_id)
        return self.render(
            question=f"Revoke the token “{token.name}”?",
            effects=(
                "Whatever uses it is refused at once: 401, the token is revoked.",
                "This can't be undone. If something still needs it, make a new token first.",
            ),
            button="Revoke token",
            danger=True,
            back=self.scope.url("tokens"),
            crumbs=(("Tokens", self.scope.url("tokens")),),
        )

    def post(self, request: HttpRequest, token_id: int) -> HttpResponseBase:
        token = token_revoke(tenant=self.scope.tenant, token_id=token_id, now=clock.now())
        return self.leave(self.scope.url("tokens"), f"The token “{token.name}” is revoked.")
