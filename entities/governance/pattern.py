r"""Regular expressions in time linear in the text, whatever the pattern: no text can make a writer hang.

The pattern describes the whole text. There are literals, `.`, classes `[a-z]` and `[^a-z]`, `\d \w \s \D \W \S` (of
ASCII), groups `( | )`, and `* + ? {m} {m,} {m,n}`. There are no back-references and no looking around: those are what
makes other engines slow. A set of states walks the text at once; sets and steps are remembered, so that most characters
cost one look-up (Thompson's construction, with the automaton built as it is needed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from atlasco.lib.errors import Invalid

PATTERN_MAX_CHARS: Final = 500
# Of a longer text, a pattern is not asked: it does not match.
TEXT_MAX_CHARS: Final = 1_000
STATES_MAX: Final = 500
REPEAT_MAX: Final = 200
_DEPTH_MAX: Final = 20
_BUILT_MAX: Final = 10 * STATES_MAX
_REMEMBERED_MAX: Final = 20_000

Ranges = tuple[tuple[int, int], ...]
_TOP: Final = 0x10FFFF
_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = ((9, 13), (32, 32))
_CLASSES: Final[dict[str, Ranges]] = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r"}


class InvalidPattern(Invalid):
    """The pattern can't be understood."""

    code = "invalid_pattern"


@dataclass(frozen=True, slots=True)
class _Node:
    """kind: chars, empty, then, or, repeat. A repeat of most None has no upper bound."""

    kind: str
    ranges: Ranges = ()
    parts: tuple[_Node, ...] = ()
    least: int = 0
    most: int | None = None


@dataclass(slots=True)
class Pattern:
    """A compiled pattern. Safe to share between threads."""

    source: str
    _chars: list[Ranges] = field(default_factory=list)  # Of each state, what it takes; () where it takes nothing.
    _next: list[int] = field(default_factory=list)
    _either: list[tuple[int, ...]] = field(default_factory=list)  # Of each state, where one is at once.
    _start: tuple[int, ...] = ()
    _end: int = 0
    _built: int = 0
    _steps: dict[tuple[tuple[int, ...], str], tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, node: _Node) -> Pattern:
        pattern = cls(source)
        pattern._end = pattern._state()
        pattern._start = pattern._closure([pattern._build(node, pattern._end)])
        return pattern

    def matches(self, text: str) -> bool:
        """Whether the whole text is of the pattern. A text of more than TEXT_MAX_CHARS never is."""
        if len(text) > TEXT_MAX_CHARS:
            return False
        steps, states = self._steps, self._start
        for char in text:
            following = steps.get((states, char))
            if following is None:
                following = self._step(states, ord(char))
                if len(steps) >= _REMEMBERED_MAX:
                    steps.clear()
                steps[states, char] = following
            states = following
            if not states:
                return False
        return self._end in states

    def _step(self, states: tuple[int, ...], code: int) -> tuple[int, ...]:
        taken = [self._next[state] for state in states if any(low <= code <= high for low, high in self._chars[state])]
        return self._closure(taken)

    def _closure(self, states: list[int]) -> tuple[int, ...]:
        found, waiting = set(states), list(states)
        while waiting:
            for state in self._either[waiting.pop()]:
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return tuple(sorted(state for state in found if self._chars[state] or state == self._end))

    def _state(self, chars: Ranges = (), following: int = -1, either: tuple[int, ...] = ()) -> int:
        if len(self._chars) >= STATES_MAX:
            raise InvalidPattern("The pattern is too large: it repeats too much.")
        self._chars.append(chars)
        self._next.append(following)
        self._either.append(either)
        return len(self._chars) - 1

    def _build(self, node: _Node, following: int) -> int:
        """The state from which the node is read, before what follows it."""
        self._built += 1
        if self._built > _BUILT_MAX:  # Repetitions of nothing make no states.
            raise InvalidPattern("The pattern is too large: it repeats too much.")
        match node.kind:
            case "empty":
                return following
            case "chars":
                return self._state(node.ranges, following)
            case "then":
                for part in reversed(node.parts):
                    following = self._build(part, following)
                return following
            case "or":
                return self._state(either=tuple(self._build(part, following) for part in node.parts))
        [part] = node.parts
        if node.most is None:
            loop = self._state()
            self._either[loop] = (self._build(part, loop), following)
            following = loop
        else:
            end = following
            for _ in range(node.most - node.least):
                following = self._state(either=(self._build(part, following), end))
        for _ in range(node.least):
            following = self._build(part, following)
        return following


def pattern_compile(source: str) -> Pattern:
    """Return the pattern, ready to be asked. Raises InvalidPattern, which says what is wrong and where."""
    if not 1 <= len(source) <= PATTERN_MAX_CHARS:
        raise InvalidPattern(f"A pattern has 1 to {PATTERN_MAX_CHARS} characters.")
    return Pattern.of(source, _Parser(source).parse())


class _Parser:
    """By recursive descent."""

    def __init__(self, source: str) -> None:
        self.source, self.at, self.depth = source, 0, 0

    def parse(self) -> _Node:
        node = self.alternatives()
        if self.at < len(self.source):
            raise self.wrong("This `)` closes nothing.")
        return node

    def wrong(self, detail: str) -> InvalidPattern:
        return InvalidPattern(f"{detail} (At character {self.at + 1}.)")

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise self.wrong("The pattern ends too early.")
        self.at += 1
        return char

    def alternatives(self) -> _Node:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else _Node("or", parts=tuple(parts))

    def sequence(self) -> _Node:
        parts: list[_Node] = []
        while (char := self.peek()) and char not in "|)":
            # The whole text is meant anyway.
            if (char == "^" and self.at == 0) or (char == "$" and self.at == len(self.source) - 1):
                self.at += 1
            else:
                parts.append(self.repeated())
        return _Node("then", parts=tuple(parts)) if parts else _Node("empty")

    def repeated(self) -> _Node:
        node = self.atom()
        match self.peek():
            case "*":
                least, most = 0, None
            case "+":
                least, most = 1, None
            case "?":
                least, most = 0, 1
            case "{":
                return self.nothing_more(self.counted(node))
            case _:
                return node
        self.at += 1
        return self.nothing_more(_Node("repeat", parts=(node,), least=least, most=most))

    def nothing_more(self, node: _Node) -> _Node:
        if self.peek() and self.peek() in "*+?{":
            raise self.wrong("A repetition can't be repeated without a group around it.")
        return node

    def counted(self, node: _Node) -> _Node:
        end = self.source.find("}", self.at)
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        is_number = low.isdecimal() and low.isascii() and (not high or (high.isdecimal() and high.isascii()))
        if end < 0 or not is_number or len(low) > 3 or len(high) > 3:
            raise self.wrong("A count is {3}, {3,} or {3,5}; a brace itself is \\{.")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise self.wrong(f"A count goes up, to {REPEAT_MAX} at the most.")
        self.at = end + 1
        return _Node("repeat", parts=(node,), least=least, most=most)

    def atom(self) -> _Node:
        char = self.take()
        match char:
            case "(":
                return self.group()
            case "[":
                return _Node("chars", self.char_class())
            case ".":
                return _Node("chars", _inverted(((10, 10),)))
            case "\\":
                return _Node("chars", self.escape())
            case "*" | "+" | "?" | "{":
                self.at -= 1
                raise self.wrong(f"There is nothing before this `{char}` to repeat; the character itself is \\{char}.")
            case "^" | "$":
                self.at -= 1
                raise self.wrong(f"`{char}` stands only at the very {'beginning' if char == '^' else 'end'}.")
        return _Node("chars", ((ord(char), ord(char)),))

    def group(self) -> _Node:
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise self.wrong("The groups are nested too deep.")
        if self.peek() == "?":
            if self.source[self.at : self.at + 2] != "?:":
                raise self.wrong("Of groups with `?` there is only (?:…): no looking around, no names.")
            self.at += 2
        node = self.alternatives()
        if self.peek() != ")":
            raise self.wrong("A `(` is not closed.")
        self.at += 1
        self.depth -= 1
        return node

    def escape(self) -> Ranges:
        char = self.take()
        if char.lower() in _CLASSES:
            ranges = _CLASSES[char.lower()]
            return ranges if char.islower() else _inverted(ranges)
        if char in _CONTROLS:
            char = _CONTROLS[char]
        elif char.isalnum() and char.isascii():
            self.at -= 1
            raise self.wrong(f"There is no \\{char} here: only \\d \\w \\s \\D \\W \\S \\n \\t \\r.")
        return ((ord(char), ord(char)),)

    def char_class(self) -> Ranges:
        negated = self.peek() == "^"
        self.at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while (char := self.take()) != "]" or first:
            first = False
            low = self.escape() if char == "\\" else ((ord(char), ord(char)),)
            is_range = self.peek() == "-" and self.source[self.at + 1 : self.at + 2] not in {"]", ""}
            if is_range and len(low) == 1 and low[0][0] == low[0][1]:
                self.at += 1
                upper = self.take()
                high = self.escape() if upper == "\\" else ((ord(upper), ord(upper)),)
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    raise self.wrong("A range of characters goes up, like a-z.")
                low = ((low[0][0], high[0][0]),)
            ranges.extend(low)
        return _inverted(tuple(ranges)) if negated else tuple(ranges)


def _inverted(ranges: Ranges) -> Ranges:
    found, low = [], 0
    for start, end in sorted(ranges):
        if start > low:
            found.append((low, start - 1))
        low = max(low, end + 1)
    if low <= _TOP:
        found.append((low, _TOP))
    return tuple(found)
