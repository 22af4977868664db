"""The browser's address, its filter builder's tree, and its code to copy."""

from __future__ import annotations

import shlex
from typing import Any

import orjson
import pytest
from django.http import QueryDict

from entities.browser.builder import builder_names, builder_tree, conditions_count
from entities.browser.code import search_curl, search_python
from entities.browser.state import WHERE_MAX_CHARS, BrowserState, state_of_body, state_parse

NEEDS_NO_SERVER = True

TREE = [
    ["seats", "gt", 100],
    {"at_least": 2, "of": [["a", "exists"], {"not": {"any": [["b", "eq", True]]}}, ["c", "in", ["x", 1]]]},
]


def state_at(**parameters: Any) -> BrowserState:
    query = QueryDict(mutable=True)
    for name, value in parameters.items():
        query.setlist(name, value if isinstance(value, list) else [value])
    return state_parse(query)


def test_an_address_says_the_whole_question_and_comes_back_as_it_was() -> None:
    where = orjson.dumps(TREE).decode()
    state = state_at(type="aircraft", where=where, sort="created_at", column=["seats", "@created_at", "odd name &="])
    assert state.errors == ()
    assert state.body() == {
        "entity_type": "aircraft",
        "where": TREE,
        "order_by": "created_at",
        "fields": ["seats", "odd name &="],
    }
    again = state_parse(QueryDict(state.url_query()))
    assert again == state
    assert 'where=[["seats","gt",100]' in state.url_query()
    assert "cursor" not in state_at(cursor="x").url_query()


def test_an_empty_address_asks_for_everything_and_has_an_empty_query() -> None:
    assert state_at().is_everything
    assert state_at().url_query() == ""
    assert state_at().query is not None


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("not json", "not JSON"),
        ('[["a","eq"]]', "needs a value"),
        ('[["a","gt","x"]]', "compares numbers"),
        ('{"any":[]}', "at least one"),
        ("7", "A condition is"),
        ("[" * 50 + "]" * 50, "A condition is"),
        ("9" * (WHERE_MAX_CHARS + 1), "at most"),
    ],
)
def test_what_cannot_be_understood_is_said_in_words_and_asks_for_nothing(where: str, said: str) -> None:
    state = state_at(where=where)
    assert state.query is None
    assert any(said in error.detail for error in state.errors)


def test_strange_parameters_are_passed_over() -> None:
    state = state_at(type="\x00", sort="nothing", column=["", "x" * 256, "a", "a", "\x00"], search="٣", cursor="")
    assert (state.entity_type, state.sort, state.columns, state.search) == ("", "-updated_at", ("a",), None)


def test_a_tree_is_shown_as_groups_with_typed_texts() -> None:
    tree = builder_tree(TREE, [])
    assert tree is not None
    assert tree["match"] == "all"
    inner = tree["nodes"][1]
    assert (inner["match"], inner["n"], inner["nodes"][1]["match"]) == ("at_least", 2, "none")
    assert inner["nodes"][2]["values"] == [{"type": "string", "text": "x"}, {"type": "number", "text": "1"}]
    assert builder_names(tree) == {"seats", "a", "b", "c"}
    assert conditions_count(tree) == 4
    long = builder_tree([["n", "eq", 9007199254740993]], [])
    assert long is not None
    assert long["nodes"][0]["values"] == [{"type": "number", "text": "9007199254740993"}]


def test_each_fault_stands_beside_its_condition() -> None:
    state = state_at(
        where='{"all":[["a","eq",1],{"any":[["b","gt","x"],["c","prefix",1]]},{"at_least":9,"of":[["d","exists"]]}]}'
    )
    tree = builder_tree(state.where, state.errors)
    assert tree is not None
    first, either, many = tree["nodes"]
    assert first["errors"] == []
    assert [len(node["errors"]) for node in either["nodes"]] == [1, 1]
    assert "can never hold" in many["errors"][0]


@pytest.mark.parametrize("where", [7, [["a"]], [[1, "eq", 1]], {"most": []}, [["a", "eq", {"x": 1}]], {"any": 3}])
def test_what_the_builder_has_no_form_for_is_left_to_the_raw_editor(where: Any) -> None:
    assert builder_tree(where, []) is None


def test_code_to_copy_holds_the_same_search() -> None:
    body = {"where": [["name", "eq", "O'Hare $(id) \\ \""], ["on", "eq", True]]}
    curl = shlex.split(search_curl(base_url="http://acme.localhost:8000", body=body).replace("\\\n", " "))
    assert orjson.loads(curl[curl.index("-d") + 1]) == body
    python = search_python(base_url="http://acme.localhost:8000", body=body)
    compile(python, "copied.py", "exec")
    assert "'where': [['name', 'eq'," in python


def test_a_kept_search_asks_what_it_asked() -> None:
    state = state_of_body({"entity_type": "gate", "where": {"any": [["a", "exists"]]}, "order_by": "entity_id"}, ["a"])
    assert state.query is not None
    assert state.url_query() == 'type=gate&where={"any":[["a","exists"]]}&sort=entity_id&column=a'
    assert state_of_body({"where": "broken"}).query is None
