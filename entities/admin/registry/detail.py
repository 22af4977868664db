"""One attribute: what is known of it, what people say of it, and which names it has."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from entities import services
from entities.admin.registry.page import EXAMPLES, AttributePage
from entities.governance import jobs, store
from entities.models import AttributeMetadata
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.selectors import attribute_get, tenant_usage
from tenants.admin.forms import TextInput

JOBS_SHOWN: Final = 10
_REASONS: Final = {
    "uuid": "its name holds a UUID", "digits": "its name holds a long number", "date": "its name holds a date",
    "hex": "its name holds what looks like a hash", "quota": "the tenant has as many names as its quota allows",
    "flood": "too many new names came within an hour",
}  # fmt: skip
_STATUS_WORDS: Final = {
    "active": "Active", "deprecated": "Deprecated: should not be used", "hidden": "Hidden from lists",
    "quarantined": "Quarantined: not listed",
}  # fmt: skip


class DescribeForm(forms.Form):
    """What people say of an attribute."""

    description = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3}), help_text="What it means."
    )
    unit = forms.CharField(required=False, max_length=50, widget=TextInput(placeholder="kg"))
    owner = forms.CharField(required=False, max_length=150, widget=TextInput(), help_text="Who knows more.")
    status = forms.ChoiceField(choices=[(value, _STATUS_WORDS[value]) for value in AttributeMetadata.Status.values])


class AttributeDetail(AttributePage):
    """What is known of it, and what people say of it."""

    template_name = "atlasco/attributes/detail.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._show()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = DescribeForm(request.POST)
        if not form.is_valid():
            return self._show(form)
        with self.scope.bind():
            services.attribute_describe(tenant_id=self.scope.tenant.pk, name=self.name, changes=form.cleaned_data)
        return self.leave(self.url(), "Saved.")

    def _show(self, form: DescribeForm | None = None) -> HttpResponseBase:
        tenant_id, name = self.scope.tenant.pk, self.name
        with self.reading() as source:
            attribute = attribute_get(tenant_id=tenant_id, name=name, using=source.using)
            rule = next(iter(store.rules_read(tenant_id=tenant_id, using=source.using, name=name)), None)
            aliases = store.aliases_read(tenant_id=tenant_id, using=source.using, name=name)
            about = jobs.jobs_read(tenant_id=tenant_id, using=source.using, limit=JOBS_SHOWN, name=name)
            query = query_parse({"where": [[name, "exists"]], "limit": EXAMPLES, "fields": [name]})
            examples = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
            usage = tenant_usage(tenant_id=tenant_id, using=source.using)
        initial = {member: getattr(attribute, member) for member in ("description", "unit", "owner", "status")}
        return self.render(
            title=name,
            crumbs=self.crumbs(below=False),
            attribute=attribute,
            entities=usage.entities.number,
            common=[(value, share, f"{max(share * 100, 0.5):.2f}") for value, share in attribute.most_common],
            examples=examples.entities,
            form=form or DescribeForm(initial=initial),
            rule=rule,
            alias_of=next((alias for alias in aliases if alias.alias == name), None),
            aliases=[alias for alias in aliases if alias.name == name],
            jobs=about,
            reason=_REASONS.get(attribute.quarantine_reason, ""),
            name_query=urlencode({"name": name}),
        )


class AttributePromote(AttributePage):
    """Take a quarantined name for what it is: an attribute."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            services.attribute_describe(
                tenant_id=self.scope.tenant.pk,
                name=self.name,
                changes={"status": AttributeMetadata.Status.ACTIVE.value},
            )
        return self.leave(self.url(), f"“{self.name}” is an ordinary attribute now.")


class AliasRemove(AttributePage):
    """Let an old name stand for itself again."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        alias = request.POST.get("alias", "")
        with self.scope.bind():
            store.alias_remove(tenant_id=self.scope.tenant.pk, alias=alias)
        return self.leave(self.url(), f"“{alias}” stands for itself again.")
