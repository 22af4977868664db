"""A client that sends exactly what a test says, and holds every answer against the contract's headers."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from tenants.models import Tenant

TIMEOUT_S: Final = 30
# The X- headers of the contract, and what each may say.
HEADERS: Final = {
    "X-Data-Freshness": r"realtime|near-realtime|eventual",
    "X-Data-Source": r"primary|read-replica|redis-cache|stream|clickhouse|data-lake",
    "X-Data-Lag-Seconds": r"\d+\.\d{3}|unknown",
    "X-Replication-Lag": r"\d+\.\d{3}|unknown",
    "X-Cache-Hit": r"true|false",
    "X-Freshness-Tier": r"REALTIME|NEAR_REALTIME|EVENTUAL",
    "X-SLA-Met": r"true|false|unknown",
    "X-Query-Timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    "X-Request-Id": r"[A-Za-z0-9._-]{1,64}",
}
FRESHNESS_MEMBERS: Final = {"tier", "lag_seconds", "source", "sla_target", "sla_met", "position"}


@dataclass(frozen=True)
class Answer:
    """What came back. headers: by lower-case name."""

    status: int
    headers: dict[str, str]
    content: bytes

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    @property
    def body(self) -> Any:
        return orjson.loads(self.content)

    @property
    def code(self) -> str:
        """The `code` of a problem."""
        self.assert_problem()
        return str(self.body["code"])

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Path and code of every entry of `errors`."""
        self.assert_problem()
        return [(error["path"], error["code"]) for error in self.body.get("errors", [])]

    def assert_problem(self) -> None:
        """The answer is an RFC 9457 problem and says so."""
        assert self.header("Content-Type") == "application/problem+json", (self.status, self.content[:300])
        body = self.body
        assert body["status"] == self.status and body["type"] == "about:blank"
        assert {"title", "detail", "code"} <= body.keys() and body["detail"]
        for error in body.get("errors", []):
            assert error.keys() == {"path", "code", "detail"} and error["detail"]

    def assert_contract(self) -> None:
        """The headers that every answer of the API carries."""
        for name, legal in HEADERS.items():
            value = self.header(name)
            assert value is not None and re.fullmatch(legal, value), (name, value, self.status, self.content[:300])
        if self.status >= 400 and self.content:
            self.assert_problem()


@dataclass
class Client:
    """One tenant's client. host: the Host header to send, where it is not the address."""

    url: str
    tenant: Tenant
    token: str
    host: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: bytes | Iterable[bytes] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | bytes | None] | None = None,
    ) -> Answer:
        """Send a request below /api/v1/. json: the body, as JSON; headers: None leaves one out that would be sent."""
        sent: dict[str, str | bytes | None] = {"Authorization": f"Bearer {self.token}", **self.extra}
        if self.host is not None:
            sent["Host"] = self.host
        if json is not None:
            data = orjson.dumps(json)
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= dict(headers or {})
        target = f"/api/v1{path}"
        if params:
            target += "?" + urlencode(params, doseq=True)
        answer = self.send(method, target, data, {name: value for name, value in sent.items() if value is not None})
        answer.assert_contract()
        return answer

    def send(
        self, method: str, target: str, data: bytes | Iterable[bytes] | None, headers: Mapping[str, str | bytes]
    ) -> Answer:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_S)
        try:
            with contextlib.suppress(BrokenPipeError):  # The server may have heard enough, and has answered.
                connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            content = response.read()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.ask("POST", path, json, **options)

    def create(self, external_id: str | None = "1", entity_type: str = "lamp", **attributes: Any) -> dict[str, Any]:
        """Create an entity, which must not be there, and return it as the API shows it."""
        body: dict[str, Any] = {"entity_type": entity_type, "attributes": attributes}
        if external_id is not None:
            body["external_id"] = external_id
        answer = self.post("/entities/", body)
        assert answer.status == 201, answer.content
        entity: dict[str, Any] = answer.body
        return entity

    def search(self, **body: Any) -> list[str]:
        """The external ids of the first page."""
        answer = self.post("/entities/search/", body)
        assert answer.status == 200, answer.content
        return [entity["external_id"] for entity in answer.body["entities"]]

    def import_lines(self, *lines: Any, **options: Any) -> Answer:
        """Import lines: objects, or bytes as they are."""
        data = b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)
        return self.post("/entities/import/", data=data, **options)


def raw(url: str, request: bytes) -> socket.socket:
    """Send bytes on a new connection and return it, for requests that no client library would send."""
    address = urlsplit(url)
    connection = socket.create_connection((str(address.hostname), address.port), timeout=TIMEOUT_S)
    connection.sendall(request)
    return connection


def head(method: str, path: str, client: Client, **headers: str) -> bytes:
    """The first lines of a request, up to its body."""
    address = urlsplit(client.url)
    lines = [
        f"{method} /api/v1{path} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {client.token}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def line(external_id: str, entity_type: str = "lamp", at: str | None = None, **attributes: Any) -> dict[str, Any]:
    """A line of an import."""
    body: dict[str, Any] = {"entity_type": entity_type, "external_id": external_id, "attributes": attributes}
    return body if at is None else {**body, "at": at}
