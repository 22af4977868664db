"""The API describes itself: a valid OpenAPI document of every path, and pages that need no other host."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema

from atlasco.urls import NoSuchPath
from tests.api.client import Client

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@pytest.fixture
def document(acme: Client) -> dict[str, Any]:
    answer = acme.get("/schema/", headers={"Accept": "application/vnd.oai.openapi+json", "Authorization": None})
    assert answer.status == 200
    found: dict[str, Any] = answer.body
    return found


def views(patterns: list[Any], prefix: str = "/") -> dict[str, Any]:
    """Every path below /api/v1/ as OpenAPI writes it, with its view."""
    found: dict[str, Any] = {}
    for pattern in patterns:
        where = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found |= views(pattern.url_patterns, where)
        elif isinstance(pattern, URLPattern) and where.startswith("/api/v1/"):
            found[PARAMETER.sub(r"{\1}", where)] = getattr(pattern.callback, "cls", None)
    return found


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]  # It carries no types.
    assert document["openapi"].startswith("3.")


def test_every_path_and_method_is_described(document: dict[str, Any]) -> None:
    wanted = {
        (path, method)
        for path, view in views(get_resolver().url_patterns).items()
        if view not in (None, NoSuchPath) and not path.endswith(("/schema/", "/docs/"))
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view, method)
    }
    described = {
        (path, method) for path, methods in document["paths"].items() for method in methods if method != "parameters"
    }
    assert wanted == {item for item in described if not item[0].endswith(("/schema/", "/docs/"))}
    assert {
        ("/api/v1/entities/", "post"),
        ("/api/v1/entities/{entity_id}/", "patch"),
        ("/api/v1/entities/{entity_id}/attributes/{name}/", "put"),
        ("/api/v1/entities/import/", "post"),
        ("/api/v1/entities/search/", "post"),
        ("/api/v1/analytics/aggregate/", "post"),
        ("/api/v1/attributes/{name}/", "patch"),
    } <= wanted


def test_every_operation_says_what_it_does_takes_and_answers(document: dict[str, Any]) -> None:
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            assert operation.get("description"), (method, path)
            assert any(status.startswith("2") for status in operation["responses"]), (method, path)
            if method in {"post", "put", "patch"}:
                assert operation.get("requestBody"), (method, path)
    assert len(names) == len(set(names))


def test_the_document_is_written_as_it_is_asked_for(acme: Client) -> None:
    for wanted, beginning in (("json", b"{"), ("yaml", b"openapi:")):
        for accept in ("*/*", "application/json"):
            answer = acme.get("/schema/", params={"format": wanted}, headers={"Accept": accept})
            assert answer.status == 200 and answer.content.lstrip().startswith(beginning)
    for params, code in (({"format": "xml"}, "invalid_parameter"), ({"explain": "route"}, "unknown_parameter")):
        answer = acme.get("/schema/", params=params)
        assert (answer.status, answer.faults) == (400, [(next(iter(params)), code)])


def test_answers_describe_the_headers_that_they_carry(acme: Client, document: dict[str, Any]) -> None:
    body = {"entity_type": "lamp", "external_id": "1"}
    created = acme.post("/entities/", body)
    path = f"/entities/{created.body['entity_id']}/"
    lines = {"data": b"{}", "headers": {"Idempotency-Key": "k"}}
    acme.post("/entities/import/", **lines)
    for answer, operation, status in (
        (created, document["paths"]["/api/v1/entities/"]["post"], "201"),
        (acme.get(path), document["paths"]["/api/v1/entities/{entity_id}/"]["get"], "200"),
        (acme.post("/entities/import/", **lines), document["paths"]["/api/v1/entities/import/"]["post"], "207"),
    ):
        described = {name.lower() for name in operation["responses"][status]["headers"]}
        ours = {name for name in answer.headers if name.startswith(("x-data", "x-consistency", "idempotency"))}
        ours |= answer.headers.keys() & {"etag", "location"}
        assert ours and ours <= described, ours - described


def test_the_document_is_for_everybody(acme: Client) -> None:
    assert acme.get("/schema/", headers={"Authorization": None}).status == 200
    assert acme.get("/schema/").status == 200


def test_the_pages_load_nothing_from_another_host(acme: Client) -> None:
    answer = acme.get("/docs/", headers={"Authorization": None, "Accept": "text/html"})
    page = answer.content.decode()
    assert answer.status == 200 and "<html" in page
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
    assert sources and all(source.startswith("/") and not source.startswith("//") for source in sources), sources
    for source in sources:
        asset = acme.send("GET", source, None, {})
        assert asset.status == 200 and asset.content, source
    urls = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert not urls, urls
