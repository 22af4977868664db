"""What every page of the admin shares: on which host it exists, for whom, in which shell, about which tenant."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import View

from atlasco.lib.errors import NotFound, Problem
from tenants.binding import tenant_bind
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.roles import role_covers, role_words
from tenants.selectors import tenant_get

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
Host: TypeAlias = Literal["platform", "tenant", "both"]


@dataclass(frozen=True, slots=True)
class TenantScope:
    """The tenant that a page is about, and from where it is looked at.

    on_platform: a platform admin looks in from the public host; else the tenant's own people on their own host.
    """

    tenant: Tenant
    on_platform: bool

    def url(self, name: str, **kwargs: Any) -> str:
        """The path of one of this tenant's pages, on the host where we are."""
        if self.on_platform:
            return reverse(f"admin:tenant_{name}", kwargs={"slug": self.tenant.slug, **kwargs})
        return reverse(f"admin:{name}", kwargs=kwargs)

    def bind(self) -> AbstractContextManager[Tenant]:
        """Read or write inside for this tenant. On the public host nothing else is bound to it, so keep it short."""
        return tenant_bind(self.tenant)


def request_host_tenant(request: HttpRequest) -> Tenant | None:
    """The tenant whose host was asked, None on the public one. TenantMiddleware has settled it."""
    tenant: Tenant | None = getattr(request, "tenant", None)
    return tenant


def request_user(request: HttpRequest) -> AbstractUser:
    """Who is logged in. The site lets nobody else this far."""
    if not isinstance(request.user, AbstractUser):
        raise PermissionDenied
    return request.user


def request_role(request: HttpRequest) -> Role:
    """What the user may do here. On the public host, and where a platform admin acts as a tenant, everything."""
    if request_host_tenant(request) is None:
        return Role.ADMIN
    return Role(getattr(request_user(request), "role", Role.VIEWER))


def request_member(request: HttpRequest) -> User | None:
    """The member of the tenant who asks; None for a platform admin, who is none: nothing can belong to them there."""
    user = request_user(request)
    is_member = request_host_tenant(request) is not None and not getattr(user, "is_acting", False)
    return user if is_member and isinstance(user, User) else None


def mfa_is_missing(request: HttpRequest) -> bool:
    """Whether a second factor is wanted here which the user has not. What it is wanted for is known without a query."""
    tenant = request_host_tenant(request)
    wanted = settings.ADMIN_MFA_REQUIRED if tenant is None else tenant.mfa_required
    user = request_user(request)
    if not wanted or getattr(user, "is_acting", False):
        return False
    return not is_mfa_enabled(user, [Authenticator.Type.TOTP])


class Page(View):
    """One page in the admin's shell.

    host: where it exists; elsewhere it is 404, before anybody is asked to log in.
    role_required: to open it; role_to_change: to send it anything (see `tenants.roles`). On the public host everybody
    is an admin.
    nav: the entry of `atlasco.navigation` that it belongs to.
    """

    site: AdminSite = None  # type: ignore[assignment]  # as_view() sets it.
    host: ClassVar[Host] = "both"
    role_required: ClassVar[Role] = Role.VIEWER
    role_to_change: ClassVar[Role] = Role.EDITOR
    title: ClassVar[str] = ""
    nav: ClassVar[str] = ""
    template_name: ClassVar[str] = ""

    @classmethod
    def exists_on(cls, tenant: Tenant | None) -> bool:
        """Whether the host of this tenant (None: the public host) has this page."""
        return cls.host in {"both", "platform" if tenant is None else "tenant"}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        for needed in (self.role_required, *(() if request.method in SAFE_METHODS else (self.role_to_change,))):
            if not role_covers(request_role(request), needed):
                raise PermissionDenied(role_words(needed))
        if mfa_is_missing(request):
            return HttpResponseRedirect(reverse("mfa_index"))
        try:
            return super().dispatch(request, *args, **kwargs)
        except Problem as problem:
            title = "There is nothing here" if isinstance(problem, NotFound) else "That did not work"
            return self.render("atlasco/problem.html", status=problem.status, problem=problem, title=title)

    def render(self, template_name: str = "", *, status: int = 200, **context: Any) -> TemplateResponse:
        """The page, in the shell. `crumbs`: (title, path) of the pages above this one."""
        self.request.current_app = self.site.name
        self.request.nav = self.nav  # type: ignore[attr-defined]  # For the shell's templates.
        shell = self.site.each_context(self.request)
        return TemplateResponse(
            self.request,
            template_name or self.template_name,
            {**shell, **self._rights(), "title": self.title, "crumbs": (), **context},
            status=status,
        )

    def fragment(self, template_name: str, **context: Any) -> TemplateResponse:
        """A part of a page, without the shell: what htmx asks for."""
        return TemplateResponse(self.request, template_name, {**self._rights(), **context})

    def _rights(self) -> dict[str, bool]:
        role = request_role(self.request)
        return {"may_edit": role_covers(role, Role.EDITOR), "may_manage": role_covers(role, Role.ADMIN)}

    def leave(self, url: str, message: str) -> HttpResponseRedirect:
        """Go on to another page, and say there what was done."""
        messages.success(self.request, message)
        return HttpResponseRedirect(url)


class TenantPage(Page):
    """A page about one tenant: on its own host about that one, on the public host about the one in the path.

    chooser: on the public host, without a tenant in the path, this page lets one choose; other pages are 404 there.
    """

    scope: TenantScope
    chooser: ClassVar[bool] = False
    is_overview: ClassVar[bool] = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        own, slug = request_host_tenant(request), kwargs.pop("slug", None)
        if own is not None:
            if slug is not None:
                raise Http404  # A path of the public host.
            self.scope = TenantScope(own, on_platform=False)
        elif slug is not None:
            try:
                self.scope = TenantScope(tenant_get(slug=slug), on_platform=True)
            except NotFound as problem:
                raise Http404(problem.detail) from problem
        elif self.chooser:
            return self.choose(request)
        else:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def choose(self, request: HttpRequest) -> HttpResponseBase:
        """Let a platform admin choose the tenant to look into."""
        raise NotImplementedError

    def render(self, template_name: str = "", *, status: int = 200, **context: Any) -> TemplateResponse:
        if not hasattr(self, "scope"):
            return super().render(template_name, status=status, **context)
        crumbs = tuple(context.pop("crumbs", ()))
        if self.scope.on_platform:
            tenant_crumb = () if self.is_overview else ((self.scope.tenant.slug, self.scope.url("detail")),)
            crumbs = (("Tenants", reverse("admin:tenants")), *tenant_crumb, *crumbs)
        return super().render(
            template_name, status=status, scope=self.scope, tenant=self.scope.tenant, crumbs=crumbs, **context
        )


def problem_show(form: BaseForm, problem: Problem, fields: Mapping[type[Problem], str] | None = None) -> None:
    """Put a service's refusal beside the field it is about.

    fields: the field that a problem without places of its own belongs to; what fits no field stands above the form.
    """
    for error in problem.errors:
        form.add_error(error.path if error.path in form.fields else None, error.detail)
    if not problem.errors:
        form.add_error((fields or {}).get(type(problem)), problem.detail)
