"""What the values of an attribute must be like. Pure: writers, dry runs and pages ask the same function."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from atlasco.lib.errors import FieldError, Invalid
from entities.governance.pattern import TEXT_MAX_CHARS, InvalidPattern, Pattern, pattern_compile
from entities.values import ENTITY_TYPE_MAX_CHARS, VALUE_TYPES, Value, value_error, value_type

Mode: TypeAlias = Literal["off", "warn", "enforce"]
MODES: Final[tuple[Mode, ...]] = ("off", "warn", "enforce")
CHOICES_MAX: Final = 500
CHOICE_MAX_CHARS: Final = 500
TYPES_REQUIRED_MAX: Final = 100
ALL_TYPES: Final = "*"
_MEMBERS: Final = (
    "types", "minimum", "maximum", "min_length", "max_length", "pattern", "choices", "required_for",
)  # fmt: skip
_LENGTH_MAX: Final = 1 << 20


class InvalidRule(Invalid):
    """The rule can't be as it is; `errors` says where and why."""

    code = "invalid_rule"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a value breaks a rule."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one rule asks of a value. Empty parts ask nothing.

    minimum, maximum: of numbers, both included. min_length, max_length, pattern: of strings, in characters; a timestamp
    is none. choices: (type, value) pairs. required_for: entity types that must have the attribute; ALL_TYPES for all.
    """

    types: frozenset[str] = frozenset()
    minimum: float | int | None = None
    maximum: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: Pattern | None = None
    choices: frozenset[tuple[str, Value]] = frozenset()
    required_for: frozenset[str] = frozenset()

    def fault(self, value: Value) -> Fault | None:
        """Why the value breaks the rule; None where it does not."""
        kind = value_type(value)
        if self.types and kind not in self.types:
            return Fault("wrong_type", f"must be a {_listed(sorted(self.types))}, not a {kind}")
        if self.choices and (kind, value) not in self.choices:
            return Fault("not_a_choice", f"must be one of {_choices_shown(self.choices)}")
        if kind == "number":
            return self._number_fault(value)  # type: ignore[arg-type]  # By its kind a number.
        if kind == "string":
            return self._text_fault(str(value))
        return None

    def requires_of(self, entity_type: str) -> bool:
        """Whether entities of this type must have the attribute."""
        return entity_type in self.required_for or ALL_TYPES in self.required_for

    def _number_fault(self, number: float) -> Fault | None:
        if self.minimum is not None and number < self.minimum:
            return Fault("too_small", f"must be at least {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            return Fault("too_large", f"must be at most {self.maximum}")
        return None

    def _text_fault(self, text: str) -> Fault | None:
        if self.min_length is not None and len(text) < self.min_length:
            return Fault("too_short", f"must have at least {self.min_length} characters; this has {len(text)}")
        if self.max_length is not None and len(text) > self.max_length:
            return Fault("too_long", f"must have at most {self.max_length} characters; this has {len(text)}")
        if self.pattern is not None and not self.pattern.matches(text):
            if len(text) > TEXT_MAX_CHARS:
                return Fault("too_long", f"has a pattern, so it must have at most {TEXT_MAX_CHARS} characters")
            return Fault("pattern_mismatch", f"must match the pattern {self.pattern.source}")
        return None

    def in_words(self) -> list[str]:
        """Each part as a phrase that goes on from the attribute's name."""
        words = []
        if self.types:
            words.append(f"is a {_listed(sorted(self.types))}")
        if self.minimum is not None:
            words.append(f"is at least {self.minimum}")
        if self.maximum is not None:
            words.append(f"is at most {self.maximum}")
        if self.min_length is not None:
            words.append(f"has at least {self.min_length} characters")
        if self.max_length is not None:
            words.append(f"has at most {self.max_length} characters")
        if self.pattern is not None:
            words.append(f"matches {self.pattern.source}")
        if self.choices:
            words.append(f"is one of {_choices_shown(self.choices)}")
        if ALL_TYPES in self.required_for:
            words.append("is required of every entity")
        elif self.required_for:
            words.append(f"is required of {', '.join(sorted(self.required_for))}")
        return words


REQUIRED_FAULT: Final = Fault("required", "is required of entities of this type")


def conditions_parse(body: object) -> Conditions:
    """Return the conditions that a JSON object asks for. Raises InvalidRule with every fault found."""
    if not isinstance(body, dict):
        raise InvalidRule("The conditions are a JSON object.")
    errors = [
        FieldError(name[:100], "unknown_field", f"A rule has no {name[:100]!r}; known are {', '.join(_MEMBERS)}.")
        for name in body
        if name not in _MEMBERS
    ]
    given = {name: value for name, value in body.items() if value is not None and value != []}
    pattern: Pattern | None = None
    if "pattern" in given:
        try:
            pattern = pattern_compile(given["pattern"] if isinstance(given["pattern"], str) else "")
        except InvalidPattern as error:
            errors.append(FieldError("pattern", error.code, error.detail))
    errors += _numbers_errors(given)
    errors += _lists_errors(given)
    if errors:
        raise InvalidRule(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return Conditions(
        types=frozenset(given.get("types", ())),
        minimum=given.get("minimum"),
        maximum=given.get("maximum"),
        min_length=given.get("min_length"),
        max_length=given.get("max_length"),
        pattern=pattern,
        choices=frozenset((value_type(choice), choice) for choice in given.get("choices", ())),
        required_for=frozenset(given.get("required_for", ())),
    )


def conditions_write(conditions: Conditions) -> dict[str, Any]:
    """The conditions as JSON, as `conditions_parse` reads them; only what asks for something."""
    written: dict[str, Any] = {
        "types": sorted(conditions.types),
        "minimum": conditions.minimum,
        "maximum": conditions.maximum,
        "min_length": conditions.min_length,
        "max_length": conditions.max_length,
        "pattern": conditions.pattern.source if conditions.pattern else None,
        "choices": [value for _, value in sorted(conditions.choices, key=lambda choice: (choice[0], choice[1]))],
        "required_for": sorted(conditions.required_for),
    }
    return {name: value for name, value in written.items() if value not in (None, [])}


def field_error(name: str, fault: Fault) -> FieldError:
    """A fault as an answer's `errors` tell it."""
    return FieldError(f"attributes.{name}", fault.code, f"`{name}` {fault.detail}.")


def _numbers_errors(given: Mapping[str, Any]) -> Iterable[FieldError]:
    for name in ("minimum", "maximum"):
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield FieldError(name, "invalid_value", f"`{name}` is a number.")
    for name in ("min_length", "max_length"):
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LENGTH_MAX:
            yield FieldError(name, "invalid_value", f"`{name}` is a whole number from 0 to {_LENGTH_MAX}.")
    for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
        least, most = given.get(low), given.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            yield FieldError(high, "invalid_value", f"`{high}` is less than `{low}`: no value would do.")


def _lists_errors(given: Mapping[str, Any]) -> Iterable[FieldError]:
    types = given.get("types", [])
    if not isinstance(types, list) or not set(map(str, types)) <= set(VALUE_TYPES):
        yield FieldError("types", "invalid_value", f"`types` is a list of {', '.join(VALUE_TYPES)}.")
    choices = given.get("choices", [])
    if not isinstance(choices, list) or len(choices) > CHOICES_MAX:
        yield FieldError("choices", "invalid_value", f"`choices` is a list of at most {CHOICES_MAX} values.")
    elif any(value_error(choice, "choices") or len(str(choice)) > CHOICE_MAX_CHARS for choice in choices):
        yield FieldError(
            "choices",
            "invalid_value",
            f"Each of `choices` is a string, a number or a boolean of at most {CHOICE_MAX_CHARS} characters.",
        )
    required = given.get("required_for", [])
    is_list = isinstance(required, list) and len(required) <= TYPES_REQUIRED_MAX
    if not is_list or not all(isinstance(name, str) and 1 <= len(name) <= ENTITY_TYPE_MAX_CHARS for name in required):
        yield FieldError("required_for", "invalid_value", '`required_for` is a list of entity types, or ["*"].')


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _choices_shown(choices: frozenset[tuple[str, Value]]) -> str:
    shown = [str(value) for _, value in sorted(choices, key=lambda choice: (choice[0], choice[1]))]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
