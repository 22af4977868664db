"""The rule of an attribute: told, held against what is there, and only then in force."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from atlasco.lib.words import TYPE_WORDS
from entities import tasks
from entities.admin.registry.page import AttributePage
from entities.governance import jobs, store
from entities.governance.rules import MODES
from entities.imports.cells import cell_value
from entities.values import VALUE_TYPES
from tenants.admin.forms import TextInput
from tenants.admin.pages import problem_show


class RuleForm(forms.Form):
    """What its values must be like. Fields that are empty ask nothing."""

    types = forms.MultipleChoiceField(
        label="Type",
        required=False,
        choices=[(kind, TYPE_WORDS[kind]) for kind in VALUE_TYPES],
        widget=forms.CheckboxSelectMultiple(),
        help_text="None chosen: any type.",
    )
    minimum = forms.CharField(required=False, label="Numbers from", widget=TextInput(inputmode="decimal"))
    maximum = forms.CharField(required=False, label="Numbers to", widget=TextInput(inputmode="decimal"))
    min_length = forms.IntegerField(required=False, min_value=0, label="Text: minimum length")
    max_length = forms.IntegerField(required=False, min_value=0, label="Text: maximum length")
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
        help_text="149 is a number, true is true or false; in quotes, “149” is text.",
    )
    required_for = forms.CharField(
        required=False,
        widget=TextInput(placeholder="aircraft, engine"),
        label="Required of",
        help_text="Entity types, separated by commas; * for all.",
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
            return self.leave(self.url(), "The rule is removed.")
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
