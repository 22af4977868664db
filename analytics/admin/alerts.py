"""Alerts of a tenant: what fired, and the rules."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from analytics.alerts import services
from analytics.alerts.evaluate import OPERATORS, SIGNS
from analytics.alerts.services import (
    FOR_SAMPLES_MAX,
    FOR_SECONDS_MAX,
    NAME_MAX,
    AlertRule,
    FiringState,
    InvalidRule,
    Preview,
    PreviewUnavailable,
    RuleInput,
    TooManyRules,
    TooManyWatched,
    rule_body,
    rule_parse,
)
from atlasco.lib import clock
from entities.admin.pages import DataPage
from entities.values import ENTITY_TYPE_MAX_CHARS, EXTERNAL_ID_MAX_CHARS, NAME_MAX_CHARS
from tenants.admin.forms import TextInput
from tenants.admin.pages import problem_show, request_user
from tenants.members.models import Role
from tenants.notices.services import deliveries_read

PAGE_SIZE: Final = 50
_DELIVERIES: Final = 20
_STATES: Final[tuple[tuple[FiringState, str], ...]] = (
    ("unacknowledged", "Not acknowledged"),
    ("open", "Firing now"),
    ("all", "All"),
)


class RuleForm(forms.Form):
    """A rule. It checks little; `rule_parse` has the last word."""

    name = forms.CharField(
        max_length=NAME_MAX,
        widget=TextInput(placeholder="Gate too hot"),
        help_text="What a notice begins with.",
    )
    attribute = forms.CharField(max_length=NAME_MAX_CHARS, strip=False, widget=TextInput(placeholder="temperature"))
    operator = forms.ChoiceField(
        label="Fires when the value is",
        choices=[(name, f"{SIGNS[name]}  {words}".strip()) for name, words in zip(
            OPERATORS, ("above", "at least", "below", "at most", "equal to", "not equal to", "for so many seconds"),
            strict=True)],
    )  # fmt: skip
    threshold = forms.FloatField(
        required=False,
        widget=forms.NumberInput({"step": "any"}),
        help_text="Leave it empty for “not set”, which is about values of any type that stop arriving.",
    )
    clear_threshold = forms.FloatField(
        label="Cleared at",
        required=False,
        widget=forms.NumberInput({"step": "any"}),
        help_text="It goes on firing until a value is no longer beyond this. Left empty, the threshold: a value that "
        "hovers around it then fires again and again.",
    )
    for_samples = forms.IntegerField(
        label="For this many values in a row",
        min_value=1,
        max_value=FOR_SAMPLES_MAX,
        initial=1,
    )
    for_seconds = forms.IntegerField(
        label="And for this many seconds",
        min_value=0,
        max_value=FOR_SECONDS_MAX,
        initial=0,
        help_text="By the times of the values themselves, and by the clock while no other arrives. 0: at the first.",
    )
    entity_type = forms.CharField(
        label="Only entities of type", required=False, max_length=ENTITY_TYPE_MAX_CHARS, strip=False, widget=TextInput()
    )
    external_id = forms.CharField(
        label="Only the entity",
        required=False,
        max_length=EXTERNAL_ID_MAX_CHARS,
        strip=False,
        widget=TextInput(),
        help_text="Its external id. Left empty, every entity is watched on its own.",
    )
    emails = forms.CharField(
        label="E-mail to",
        required=False,
        widget=forms.Textarea({"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
        help_text="One address per line.",
    )
    webhook_url = forms.CharField(
        label="Webhook",
        required=False,
        widget=TextInput(placeholder="https://hooks.example.com/atlasco"),
        help_text="Gets a signed POST when it fires and when it is cleared. The secret is shown once, when it is made.",
    )
    is_enabled = forms.BooleanField(label="Enabled", required=False, initial=True)

    def __init__(self, *args: Any, names_url: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["attribute"].widget.attrs["data-names"] = names_url
        if not settings.EMAIL_IS_CONFIGURED:
            self.fields["emails"].help_text += " This installation sends no e-mail yet: ATLASCO_EMAIL_URL is not set."

    def rule(self) -> RuleInput:
        """The rule as it is typed. Raises InvalidRule."""
        data = dict(self.cleaned_data)
        data["emails"] = data["emails"].replace(",", " ").split()
        return rule_parse(data)


def _initial(rule: RuleInput) -> dict[str, Any]:
    body = rule_body(rule)
    # 600.0 was typed as 600.
    numbers = {
        name: int(body[name])
        for name in ("threshold", "clear_threshold")
        if isinstance(body[name], float) and body[name].is_integer()
    }
    return {**body, **numbers, "emails": "\n".join(rule.emails)}


class RuleList(DataPage):
    """Every rule of the tenant."""

    nav = "alerts"
    chooser = False
    title = "Alert rules"
    template_name = "atlasco/alerts/rules.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading():
            rules = services.rules_read(tenant_id=self.scope.tenant.pk)
        return self.render(
            crumbs=(("Alerts", self.scope.url("alerts")),),
            rules=[(rule, condition_words(rule.wanted)) for rule in rules],
        )


class _RulePage(DataPage):
    """The form of a rule: previewed as often as one likes, kept at last."""

    nav = "alerts"
    chooser = False
    role_required = Role.EDITOR
    template_name = "atlasco/alerts/rule.html"

    def form_shown(self, form: RuleForm, rule: AlertRule | None, preview: Preview | None = None) -> HttpResponseBase:
        crumbs = (("Alerts", self.scope.url("alerts")), ("Rules", self.scope.url("alert_rules")))
        deliveries = []
        if rule is not None:
            with self.scope.bind():
                deliveries = deliveries_read(
                    tenant_id=self.scope.tenant.pk, prefix=f"alert:{rule.rule_id}:", limit=_DELIVERIES
                )
        return self.render(form=form, rule=rule, preview=preview, deliveries=deliveries, crumbs=crumbs)

    def form_of(self, request: HttpRequest, rule: AlertRule | None) -> RuleForm:
        names_url = self.scope.url("entity_names")
        if request.method == "POST":
            return RuleForm(request.POST, names_url=names_url)
        first = {"attribute": request.GET.get("attribute", ""), "entity_type": request.GET.get("type", "")}
        initial = first if rule is None else _initial(rule.wanted)
        return RuleForm(initial=initial, names_url=names_url)

    def posted(self, request: HttpRequest, rule: AlertRule | None) -> HttpResponseBase:
        form = self.form_of(request, rule)
        if not form.is_valid():
            return self.form_shown(form, rule)
        tenant_id, now = self.scope.tenant.pk, clock.now()
        try:
            wanted = form.rule()
            if "preview" in request.POST:
                return self.form_shown(form, rule, services.rule_preview(tenant_id=tenant_id, rule=wanted, now=now))
            with self.scope.bind():
                kept, secret = (
                    services.rule_create(tenant_id=tenant_id, rule=wanted, now=now)
                    if rule is None
                    else services.rule_update(tenant_id=tenant_id, rule_id=rule.rule_id, rule=wanted, now=now)
                )
        except (InvalidRule, PreviewUnavailable, TooManyRules, TooManyWatched) as problem:
            problem_show(form, problem)
            return self.form_shown(form, rule)
        if secret:
            return self.render(
                "atlasco/alerts/secret.html",
                title="Copy the webhook's secret now",
                crumbs=(("Alerts", self.scope.url("alerts")), ("Rules", self.scope.url("alert_rules"))),
                rule=kept,
                secret=secret,
                continue_url=self.scope.url("alert_rules"),
            )
        return self.leave(self.scope.url("alert_rules"), f"The rule “{kept.wanted.name}” is kept.")


class RuleCreate(_RulePage):
    title = "New alert rule"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.form_shown(self.form_of(request, None), None)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        return self.posted(request, None)


class RuleChange(_RulePage):
    title = "Alert rule"

    def get(self, request: HttpRequest, rule_id: int) -> HttpResponseBase:
        rule = self._rule(rule_id)
        return self.form_shown(self.form_of(request, rule), rule)

    def post(self, request: HttpRequest, rule_id: int) -> HttpResponseBase:
        return self.posted(request, self._rule(rule_id))

    def _rule(self, rule_id: int) -> AlertRule:
        with self.scope.bind():
            return services.rule_get(tenant_id=self.scope.tenant.pk, rule_id=rule_id)


class RuleDelete(DataPage):
    """Ask, then remove a rule."""

    nav = "alerts"
    chooser = False
    role_required = Role.EDITOR
    title = "Delete the rule"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, rule_id: int) -> HttpResponseBase:
        with self.scope.bind():
            rule = services.rule_get(tenant_id=self.scope.tenant.pk, rule_id=rule_id)
        return self.render(
            question=f"Delete the rule “{rule.wanted.name}”?",
            effects=(
                "Its firings are deleted with it.",
                "To silence it and keep them, take the tick from “Enabled” instead.",
            ),
            button="Delete rule",
            danger=True,
            back=self.scope.url("alert_rule", rule_id=rule_id),
            crumbs=(("Alerts", self.scope.url("alerts")), ("Rules", self.scope.url("alert_rules"))),
        )

    def post(self, request: HttpRequest, rule_id: int) -> HttpResponseBase:
        with self.scope.bind():
            services.rule_delete(tenant_id=self.scope.tenant.pk, rule_id=rule_id, now=clock.now())
        return self.leave(self.scope.url("alert_rules"), "The rule is deleted.")


class FiringList(DataPage):
    """What fired, newest first; at first what nobody has acknowledged."""

    nav = "alerts"
    route = "alerts"
    title = "Alerts"
    template_name = "atlasco/alerts/firings.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        wish = request.GET.get("state", "unacknowledged")
        state = next((known for known, _ in _STATES if known == wish), _STATES[0][0])
        rule_id, before = _digits(request, "rule"), _digits(request, "before")
        with self.reading():
            found = services.firings_read(
                tenant_id=tenant_id, state=state, rule_id=rule_id, before=before, limit=PAGE_SIZE + 1
            )
            evaluated = services.evaluated_at()
            has_rules = bool(services.rules_read(tenant_id=tenant_id, limit=1))
        firings = found[:PAGE_SIZE]
        kept = {"state": state, **({"rule": rule_id} if rule_id is not None else {})}
        return self.render(
            firings=[(firing, SIGNS[firing.operator]) for firing in firings],
            state=state,
            states=_STATES,
            rule_id=rule_id,
            has_rules=has_rules,
            evaluated_at=evaluated,
            is_first=before is None,
            first_query=urlencode(kept),
            next_query=urlencode({**kept, "before": firings[-1].firing_id}) if len(found) > PAGE_SIZE else "",
        )


class FiringAcknowledge(DataPage):
    """Note that one has seen it."""

    nav = "alerts"
    chooser = False

    def post(self, request: HttpRequest, firing_id: int) -> HttpResponseBase:
        with self.scope.bind():
            firing = services.firing_acknowledge(
                tenant_id=self.scope.tenant.pk,
                firing_id=firing_id,
                who=request_user(request).get_username(),
                now=clock.now(),
            )
        query = request.POST.get("back", "")
        back = (
            f"{self.scope.url('alerts')}?{query}" if query.isascii() and "\n" not in query else self.scope.url("alerts")
        )
        return self.leave(back, f"“{firing.rule_name}” for {firing.external_id} is acknowledged.")


def condition_words(rule: RuleInput) -> str:
    """When a rule fires, in words."""
    condition = rule.condition
    if condition.operator == "stale":
        return f"not set for {condition.for_seconds:,} s"
    words = f"{SIGNS[condition.operator]} {condition.threshold:g}"
    if condition.for_samples > 1:
        words += f", {condition.for_samples:,} times in a row"
    if condition.for_seconds:
        words += f", for {condition.for_seconds:,} s"
    if condition.clear_threshold is not None:
        words += f"; cleared at {condition.clear_threshold:g}"
    return words


def _digits(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
