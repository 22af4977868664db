"""One attribute: what is known of it, what people say of it, its rule, its names; and the jobs about it."""

from __future__ import annotations

import uuid
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities import services, tasks
from entities.admin.pages import DataPage
from entities.governance import jobs, store
from entities.governance.rules import MODES, conditions_parse
from entities.imports.mapping import cell_value
from entities.jobs import UNFINISHED
from entities.models import AttributeMetadata, JobStatus
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.selectors import AttributeUnknown, attribute_get, tenant_usage
from entities.values import NAME_MAX_CHARS, VALUE_TYPES
from tenants.admin.forms import TextInput
from tenants.admin.pages import problem_show
from tenants.members.models import Role

EXAMPLES: Final = 5
JOBS_SHOWN: Final = 10
PAIRS_SHOWN: Final = 100
_REASONS: Final = {
    "uuid": "its name holds a UUID", "digits": "its name holds a long number", "date": "its name holds a date",
    "hex": "its name holds what looks like a hash", "quota": "the tenant has as many names as its quota allows",
    "flood": "too many new names came within an hour",
}  # fmt: skip
_STATUS_WORDS: Final = {
    "active": "Active", "deprecated": "Deprecated: still there, better not used", "hidden": "Hidden from lists",
    "quarantined": "Quarantined: neither listed nor indexed",
}  # fmt: skip


class DescribeForm(forms.Form):
    """What people say of an attribute."""

    description = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3}), help_text="What it means."
    )
    unit = forms.CharField(required=False, max_length=50, widget=TextInput(placeholder="kg"))
    owner = forms.CharField(required=False, max_length=150, widget=TextInput(), help_text="Who knows more.")
    status = forms.ChoiceField(choices=[(value, _STATUS_WORDS[value]) for value in AttributeMetadata.Status.values])


class RuleForm(forms.Form):
    """What its values must be like. Fields that are empty ask nothing."""

    types = forms.MultipleChoiceField(
        label="Type",
        required=False,
        choices=[(kind, kind) for kind in VALUE_TYPES],
        widget=forms.CheckboxSelectMultiple(),
        help_text="None chosen: any type.",
    )
    minimum = forms.CharField(required=False, label="Numbers from", widget=TextInput(inputmode="decimal"))
    maximum = forms.CharField(required=False, label="Numbers to", widget=TextInput(inputmode="decimal"))
    min_length = forms.IntegerField(required=False, min_value=0, label="Text: characters at least")
    max_length = forms.IntegerField(required=False, min_value=0, label="Text: characters at most")
    pattern = forms.CharField(
        required=False,
        max_length=500,
        widget=TextInput(placeholder="[A-Z]{2}-[0-9]+"),
        label="Text: pattern",
        help_text="A regular expression for the whole text, without back-references.",
    )
    choices = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "one value a line"}),
        label="One of",
        help_text="149 and true are a number and a boolean; in quotes, “149” is a text.",
    )
    required_for = forms.CharField(
        required=False,
        widget=TextInput(placeholder="aircraft, engine"),
        label="Required of",
        help_text="Entity types, set apart by commas; * for all.",
    )

    def conditions(self) -> dict[str, Any]:
        """The conditions as JSON. Raises InvalidRule."""
        told = self.cleaned_data
        lines = [line.strip() for line in told["choices"].splitlines() if line.strip()]
        return {
            "types": told["types"],
            "minimum": _number(told["minimum"]),
            "maximum": _number(told["maximum"]),
            "min_length": told["min_length"],
            "max_length": told["max_length"],
            "pattern": told["pattern"] or None,
            "choices": [_choice(line) for line in lines],
            "required_for": [part.strip() for part in told["required_for"].split(",") if part.strip()],
        }


def _number(text: str) -> Any:
    """A number, or the text that is none, for the rule to refuse."""
    return cell_value(text.strip(), "auto") if text.strip() else None


def _choice(line: str) -> Any:
    is_quoted = len(line) > 1 and line[0] == line[-1] == '"'
    return line[1:-1] if is_quoted else cell_value(line, "auto")


def rule_initial(rule: store.Rule | None) -> dict[str, Any]:
    """The rule as its form shows it."""
    if rule is None:
        return {}
    told = rule.as_dict()
    choices = told.get("choices", [])
    shown = [
        f'"{choice}"' if isinstance(choice, str) and cell_value(choice, "auto") != choice else choice
        for choice in choices
    ]
    lines = [str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in shown]
    return told | {"choices": "\n".join(lines), "required_for": ", ".join(told.get("required_for", []))}


class AttributePage(DataPage):
    """A page about one attribute: its name is a parameter, for it may hold any character."""

    nav = "attributes"
    chooser = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.name:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    @property
    def name(self) -> str:
        return str(self.request.GET.get("name", "")).replace("\x00", "")[:NAME_MAX_CHARS]

    def url(self, route: str = "attribute") -> str:
        return f"{self.scope.url(route)}?{urlencode({'name': self.name})}"

    def crumbs(self, *, below: bool = True) -> tuple[tuple[str, str], ...]:
        crumbs = (("Attributes", self.scope.url("attributes")),)
        return (*crumbs, (self.name, self.url())) if below else crumbs

    def who(self) -> str:
        return str(self.request.user)


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


class AttributeRule(AttributePage):
    """Its rule: told, held against what is there, and only then in force."""

    template_name = "atlasco/attributes/rule.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._show()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        tenant_id, action = self.scope.tenant.pk, request.POST.get("action", "check")
        if action == "remove":
            with self.scope.bind():
                store.rule_remove(tenant_id=tenant_id, name=self.name)
            return self.leave(self.url(), "Nothing is asked of its values any more.")
        if action in MODES:
            return self._switch(action)
        form = RuleForm(request.POST)
        if not form.is_valid():
            return self._show(form)
        try:
            with self.scope.bind():
                job = jobs.rule_check_start(
                    tenant_id=tenant_id,
                    name=self.name,
                    conditions=form.conditions(),
                    created_by=self.who(),
                    now=clock.now(),
                    enqueue=tasks.attribute_job_enqueue,
                )
        except Problem as problem:
            problem_show(form, problem)
            return self._show(form)
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))

    def _switch(self, mode: str) -> HttpResponseBase:
        """Another mode for the rule there is, or the one that a check was about."""
        tenant_id, job_id = self.scope.tenant.pk, self.request.POST.get("job", "")
        with self.scope.bind():
            if job_id:
                job = jobs.job_get(tenant_id=tenant_id, job_id=uuid.UUID(job_id), using="default")
                conditions = job.options.get("conditions", {})
            else:
                told = store.rule_get(tenant_id=tenant_id, name=self.name, using="default").as_dict()
                conditions = {member: value for member, value in told.items() if member != "mode"}
            store.rule_set(
                tenant_id=tenant_id,
                name=self.name,
                mode=mode,
                conditions=conditions,
                updated_by=self.who(),
                now=clock.now(),
            )
        words = {
            "off": "The rule is off.",
            "warn": "The rule warns from now on.",
            "enforce": "The rule holds from now on.",
        }
        return self.leave(self.url(), words[mode])

    def _show(self, form: RuleForm | None = None) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        with self.reading() as source:
            rule = next(iter(store.rules_read(tenant_id=tenant_id, using=source.using, name=self.name)), None)
        return self.render(
            title=f"Rule for {self.name}",
            crumbs=self.crumbs(),
            rule=rule,
            form=form or RuleForm(initial=rule_initial(rule)),
            back=self.url(),
        )


class RenameForm(forms.Form):
    """Another name, new or known."""

    target = forms.CharField(label="New name", max_length=NAME_MAX_CHARS, strip=False, widget=TextInput(autofocus=True))
    keep_alias = forms.BooleanField(
        label="Go on accepting the old name",
        required=False,
        initial=True,
        help_text="What is still written to it is then stored under the new name.",
    )


class AttributeRename(AttributePage):
    """Rename it, or merge it into another one: first what that would mean, then the job."""

    template_name = "atlasco/attributes/rename.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        target = request.GET.get("target", "").replace("\x00", "")[:NAME_MAX_CHARS]
        return self._show(RenameForm(initial={"target": target, "keep_alias": True}), target)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = RenameForm(request.POST)
        if not form.is_valid():
            return self._show(form, "")
        target = form.cleaned_data["target"]
        if request.POST.get("action") == "look":
            return self._show(form, target)
        try:
            with self.scope.bind():
                job = jobs.rename_start(
                    tenant_id=self.scope.tenant.pk,
                    name=self.name,
                    target=target,
                    keep_alias=form.cleaned_data["keep_alias"],
                    created_by=self.who(),
                    now=clock.now(),
                    enqueue=tasks.attribute_job_enqueue,
                )
        except Problem as problem:
            problem_show(form, problem, {type(problem): "target"})
            return self._show(form, target)
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))

    def _show(self, form: RenameForm, target: str) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        both: list[Any] = []
        other = None
        with self.reading() as source:
            attribute = attribute_get(tenant_id=tenant_id, name=self.name, using=source.using)
            if target and target != self.name:
                try:
                    other = attribute_get(tenant_id=tenant_id, name=target, using=source.using)
                except AttributeUnknown:
                    other = None
                else:
                    where = [[self.name, "exists"], [target, "exists"]]
                    query = query_parse({"where": where, "limit": EXAMPLES, "fields": [self.name, target]})
                    found = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
                    both = found.entities
        return self.render(
            title=f"Rename {self.name}",
            crumbs=self.crumbs(),
            form=form,
            attribute=attribute,
            other=other,
            target=target,
            both=both,
            back=self.url(),
        )


class AttributeDrop(AttributePage):
    """Remove every value."""

    role_required = Role.ADMIN
    role_to_change = Role.ADMIN
    title = "Remove"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading() as source:
            attribute = attribute_get(tenant_id=self.scope.tenant.pk, name=self.name, using=source.using)
        return self.render(
            question=f"Remove every value of “{self.name}”?",
            effects=(
                f"{sum(attribute.types.values()):,} entities lose it. A worker does that in small steps.",
                "It can be undone for 30 days, where nobody has written it anew.",
                "Whoever goes on writing it brings it back.",
            ),
            button="Remove all values",
            danger=True,
            back=self.url(),
            crumbs=self.crumbs(),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            job = jobs.drop_start(
                tenant_id=self.scope.tenant.pk,
                name=self.name,
                created_by=self.who(),
                now=clock.now(),
                enqueue=tasks.attribute_job_enqueue,
            )
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))


class AliasRemove(AttributePage):
    """Let an old name stand for itself again."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        alias = request.POST.get("alias", "")
        with self.scope.bind():
            store.alias_remove(tenant_id=self.scope.tenant.pk, alias=alias)
        return self.leave(self.url(), f"“{alias}” stands for itself again.")


class SimilarNames(DataPage):
    """Names that are probably one, as the last look found them."""

    nav = "attributes"
    route = "attributes_similar"
    title = "Near-duplicates"
    template_name = "atlasco/attributes/similar.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading() as source:
            found = jobs.jobs_read(
                tenant_id=self.scope.tenant.pk, using=source.using, limit=1, kind=jobs.Kind.SIMILAR.value
            )
        job = found[0] if found else None
        return self.render(
            crumbs=(("Attributes", self.scope.url("attributes")),),
            job=job,
            pairs=job.result.get("pairs", [])[:PAIRS_SHOWN] if job else [],
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            job = jobs.similar_start(
                tenant_id=self.scope.tenant.pk,
                created_by=str(request.user),
                now=clock.now(),
                enqueue=tasks.attribute_job_enqueue,
            )
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))


class AttributeJobPage(DataPage):
    """One job: how far it is, what it found or did, and what can be done next."""

    nav = "attributes"
    chooser = False
    template_name = "atlasco/attributes/job.html"

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.reading() as source:
            job = jobs.job_get(tenant_id=self.scope.tenant.pk, job_id=job_id, using=source.using)
        if job.kind == jobs.Kind.SIMILAR and job.status == JobStatus.DONE:
            return HttpResponseRedirect(self.scope.url("attributes_similar"))
        is_partial = request.GET.get("part") == "progress"
        context = job_context(job)
        if is_partial:
            response = self.fragment("atlasco/attributes/progress.html", scope=self.scope, job=job, **context)
            if job.status not in UNFINISHED:
                response.headers["HX-Refresh"] = "true"
            return response
        name = job.attribute_name
        named = ((name, f"{self.scope.url('attribute')}?{urlencode({'name': name})}"),) if name else ()
        return self.render(
            title=job.get_kind_display(),
            crumbs=(("Attributes", self.scope.url("attributes")), *named),
            job=job,
            name_query=urlencode({"name": name}),
            target_query=urlencode({"name": job.target}),
            **context,
        )

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        tenant_id, now = self.scope.tenant.pk, clock.now()
        with self.scope.bind():
            if request.POST.get("action") == "undo":
                job = jobs.undo_start(
                    tenant_id=tenant_id,
                    job_id=job_id,
                    created_by=str(request.user),
                    now=now,
                    enqueue=tasks.attribute_job_enqueue,
                )
            else:
                job = jobs.job_cancel(tenant_id=tenant_id, job_id=job_id, now=now)
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))


def job_context(job: Any) -> dict[str, Any]:
    """percent: of the entities; what a check asked for, in words."""
    done = min(job.entities_done / job.entities_total, 1.0) if job.entities_total else 0.0
    asked: list[str] = []
    if job.kind == jobs.Kind.RULE_CHECK:
        asked = conditions_parse(job.options.get("conditions", {})).in_words()
    return {"percent": round(done * 100), "asked": asked, "may_undo": jobs.may_undo(job)}
