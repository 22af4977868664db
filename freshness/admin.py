"""What a tenant has settled of freshness, for its admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib.errors import Problem
from freshness.defaults import ATTRIBUTES_MAX, defaults_change, defaults_read
from freshness.policy import OPERATION_CLASS, QUERY_CLASSES, TIERS, Defaults, Limit
from tenants.admin.forms import TextInput
from tenants.admin.pages import TenantPage, problem_show
from tenants.admin.routes import Route
from tenants.members.models import Role

_WORDS: Final = {
    "REALTIME": "Real time: the primary",
    "NEAR_REALTIME": "Near real time: a replica",
    "EVENTUAL": "Eventual: ClickHouse",
}
# What asks for a class, besides the operations of the API.
_ASKED_BY: Final = {
    "dashboard": "dashboards",
    "operational": "pages",
    "alert": "alert evaluation",
    "analytics": "rollups",
    "compliance": "compliance reports",
}


class LimitForm(forms.Form):
    """A tier, a number of seconds, or both; neither leaves it as it is by itself."""

    tier = forms.ChoiceField(required=False, choices=[("", "As built in"), *_WORDS.items()])
    max_lag_s = forms.FloatField(
        label="At most this many seconds old",
        required=False,
        min_value=0,
        widget=TextInput(inputmode="decimal", placeholder="by the tier"),
    )

    def limit(self) -> Limit | None:
        """What was told. Call it after `is_valid`."""
        tier = next((name for name in TIERS if name == self.cleaned_data["tier"]), None)
        max_lag_s = self.cleaned_data["max_lag_s"]
        return None if tier is None and max_lag_s is None else Limit(tier, max_lag_s)


class AttributeLimitForm(LimitForm):
    """The same of one attribute."""

    name = forms.CharField(label="Attribute", max_length=255, strip=False, widget=TextInput())
    tier = forms.ChoiceField(label="Tier", required=False, choices=[("", "By the seconds alone"), *_WORDS.items()])
    field_order = ("name", "tier", "max_lag_s")

    def clean(self) -> dict[str, Any]:
        if not self.errors and self.limit() is None:
            raise forms.ValidationError("Say a tier, seconds, or both.")
        return self.cleaned_data


class FreshnessDefaults(TenantPage):
    """How fresh answers are where nobody says so, and of which attributes they are never older."""

    role_required = Role.ADMIN
    role_to_change = Role.ADMIN
    nav = "freshness_defaults"
    title = "Freshness of answers"
    template_name = "atlasco/freshness/defaults.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._show()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        match request.POST.get("action"):
            case "classes":
                forms_by_class = class_forms(request.POST)
                if not all(form.is_valid() for form in forms_by_class.values()):
                    return self._show(classes=forms_by_class)
                defaults_change(
                    tenant=self.scope.tenant,
                    classes={name: form.limit() for name, form in forms_by_class.items()},
                )
                return self._done("The defaults are saved")
            case "add":
                form = AttributeLimitForm(request.POST)
                if not form.is_valid():
                    return self._show(attribute=form)
                name = form.cleaned_data["name"]
                try:
                    defaults_change(tenant=self.scope.tenant, attributes={name: form.limit()})
                except Problem as problem:
                    problem_show(form, problem)
                    return self._show(attribute=form)
                return self._done(f"The limit of “{name}” is saved")
            case _:
                name = request.POST.get("remove", "")
                defaults_change(tenant=self.scope.tenant, attributes={name: None})
                return self._done(f"The limit of “{name}” is removed")

    def _done(self, what: str) -> HttpResponseBase:
        return self.leave(self.scope.url("freshness_defaults"), f"{what}; this takes effect within two seconds.")

    def _show(
        self, *, classes: Mapping[str, LimitForm] | None = None, attribute: AttributeLimitForm | None = None
    ) -> HttpResponseBase:
        # From the primary: this is what is being changed.
        defaults = defaults_read(tenant_id=self.scope.tenant.pk, using="default")
        return self.render(
            rows=class_rows(defaults, classes or class_forms(None, defaults)),
            attributes=[
                (name, _WORDS.get(limit.tier or "", ""), limit.max_lag_s)
                for name, limit in sorted(defaults.attributes.items())
            ],
            attributes_max=ATTRIBUTES_MAX,
            form=attribute or AttributeLimitForm(),
            status=200 if classes is None and attribute is None else 400,
        )


def class_forms(data: Any, defaults: Defaults | None = None) -> dict[str, LimitForm]:
    """A form for each query class: of what was sent, or of what is settled."""
    known = {} if defaults is None else defaults.classes
    return {
        name: LimitForm(
            data,
            prefix=name,
            initial={"tier": known[name].tier, "max_lag_s": known[name].max_lag_s} if name in known else None,
        )
        for name in QUERY_CLASSES
    }


def class_rows(defaults: Defaults, forms_by_class: Mapping[str, LimitForm]) -> list[dict[str, Any]]:
    """What the table shows of each class: who asks for it, what it means by itself, and its form."""
    rows = []
    for name, row in QUERY_CLASSES.items():
        operations = [operation for operation, its_class in OPERATION_CLASS.items() if its_class == name]
        told = [*(_OPERATION_WORDS[one] for one in operations if one in _OPERATION_WORDS), _ASKED_BY.get(name, "")]
        rows.append(
            {
                "name": name,
                "asked_by": ", ".join(word for word in told if word),
                "tier": row.tier,
                "sla_s": row.sla_s,
                "form": forms_by_class[name],
                "is_own": name in defaults.classes,
            }
        )
    return rows


_OPERATION_WORDS: Final = {
    "entity": "one entity",
    "value": "one value",
    "search": "searches",
    "attributes": "attribute lists",
    "history": "histories",
    "state": "past states",
    "aggregate": "aggregates",
}
# Each is twice on paths, see `tenants.admin.urls`.
tenant_routes: Final = (Route("freshness/defaults/", FreshnessDefaults, "freshness_defaults"),)
