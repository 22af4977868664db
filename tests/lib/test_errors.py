"""What an answer says of expected trouble: RFC 9457 bodies and the headers that a status demands."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

from atlasco.lib.errors import Conflict, FieldError, Invalid, NotFound, Problem, Unavailable
from atlasco.lib.problem import problem_body, problem_headers, problem_http_response


class ShelfFull(Conflict):
    """The shelf holds
    no more books.
    """

    code = "shelf_full"


class LampBroken(Unavailable):
    """No light."""

    code = "lamp_broken"
    retry_after_s = 7


class Stranger(Problem):
    """Who are you?"""

    status = 401
    code = "stranger"
    challenge: ClassVar[str] = 'Bearer realm="shelves"'


@pytest.mark.parametrize(
    ("kind", "status"), [(Invalid, 400), (NotFound, 404), (Conflict, 409), (Unavailable, 503), (Problem, 500)]
)
def test_each_kind_has_its_status(kind: type[Problem], status: int) -> None:
    body = problem_body(kind())
    assert (body["status"], body["code"]) == (status, kind.code)


def test_a_docstring_is_the_message_on_one_line() -> None:
    assert ShelfFull().detail == str(ShelfFull()) == "The shelf holds no more books."
    assert problem_body(ShelfFull()) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "The shelf holds no more books.",
        "code": "shelf_full",
    }


def test_a_detail_of_its_own_replaces_the_docstring() -> None:
    assert problem_body(ShelfFull("Shelf 3 is full."))["detail"] == "Shelf 3 is full."


def test_faults_are_listed_in_order() -> None:
    errors = [FieldError("where[0][1]", "unknown_operator", "No."), FieldError("limit", "invalid_limit", "Too many.")]
    assert problem_body(Invalid(errors=errors))["errors"] == [
        {"path": "where[0][1]", "code": "unknown_operator", "detail": "No."},
        {"path": "limit", "code": "invalid_limit", "detail": "Too many."},
    ]
    assert "errors" not in problem_body(Invalid())


def test_an_extra_is_a_member_but_never_replaces_a_standard_one() -> None:
    body = problem_body(ShelfFull(shelf=3, status=200, code="fine"))
    assert (body["shelf"], body["status"], body["code"]) == (3, 409, "shelf_full")


def test_only_trouble_that_passes_says_when_to_come_back() -> None:
    assert problem_headers(LampBroken()) == {"Retry-After": "7"}
    assert problem_headers(ShelfFull()) == {}


def test_a_challenge_becomes_www_authenticate() -> None:
    assert problem_headers(Stranger()) == {"WWW-Authenticate": 'Bearer realm="shelves"'}


def test_the_answer_outside_of_the_framework_is_the_same_problem() -> None:
    response = problem_http_response(LampBroken())
    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert response["Retry-After"] == "7"
    assert json.loads(response.content) == problem_body(LampBroken())
