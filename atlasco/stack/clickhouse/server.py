"""HTTP as a clickhouse-server speaks it, as far as clients rely on it."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import logging
import secrets
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from atlasco.stack.clickhouse.engine import Engine
from atlasco.stack.clickhouse.errors import authentication_failed, engine_error
from atlasco.stack.clickhouse.statements import Statement, body_pieces, compressed, statement_read

log = logging.getLogger(__name__)

USER = "default"
IDLE_TIMEOUT_S = 300
# Smaller answers aren't worth compressing.
COMPRESS_FROM_BYTES = 4096
# Parameters that the HTTP layer itself takes; every other one is a setting of the engine.
TRANSPORT_PARAMETERS = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "role", "quota_key"),
        *("session_id", "session_timeout", "session_check", "close_session"),
        *("compress", "decompress", "enable_http_compression", "buffer_size", "wait_end_of_query"),
        *("client_protocol_version", "stacktrace", "add_http_cors_header", "http_make_head_request"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        "cancel_http_readonly_queries_on_client_close",
    }
)
# Formats whose blocks can be sent one after the other as they come.
STREAMED_FORMATS = frozenset({"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"})
BINARY_FORMATS = frozenset({"Native", "RowBinary", "RowBinaryWithNamesAndTypes", "Parquet", "Arrow", "ArrowStream"})
CONTENT_TYPES = {"JSON": "application/json; charset=UTF-8", "CSV": "text/csv; charset=UTF-8; header=absent"}


class BodyCutShort(ConnectionError):
    """The client went away before it had sent what it announced."""


class Handler(BaseHTTPRequestHandler):
    """One connection. The class is bound to an engine and a password by `server_bind`."""

    protocol_version = "HTTP/1.1"
    server_version = "atlasco-clickhouse"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    engine: ClassVar[Engine]
    password: ClassVar[str]

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    # --- Requests -----------------------------------------------------------------------------------------------------
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        self._begin(parameters, has_body=False)
        if url.path in {"/ping", "/replicas_status"} or (url.path == "/" and "query" not in parameters):
            self._send(200, b"Ok.\n", content_type="text/html; charset=UTF-8")
            return
        parameters.setdefault("readonly", "1")  # GET only reads, as at the real server.
        self._serve(parameters)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        self._begin(parameters, has_body=True)
        self._serve(parameters)

    def _begin(self, parameters: dict[str, str], *, has_body: bool) -> None:
        self.query_id = parameters.get("query_id") or secrets.token_hex(16)
        self.is_body_read = not has_body
        self.is_answering = False

    def _serve(self, parameters: dict[str, str]) -> None:
        started = time.perf_counter()
        try:
            self._authenticate(parameters)
            statement = statement_read(
                url_query=parameters.get("query", ""),
                body=iter(()) if self.is_body_read else self._body(),
                content_type=self.headers.get("Content-Type") or "",
            )
            parameters |= statement.fields
            with self.engine.handle(
                session_id=parameters.get("session_id", ""),
                database=parameters.get("database", ""),
                readonly=parameters.pop("readonly", ""),
                settings={
                    name: value
                    for name, value in parameters.items()
                    if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
                },
                leaves_it=statement.leaves_handle,
            ) as handle:
                self._execute(handle, statement, parameters, started=started)
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            if self.is_answering:
                # The client has a status already; a connection that breaks off is all that is left to say.
                self.close_connection = True
                log.exception("an answer broke off", extra={"query_id": self.query_id})
            else:
                self._send_error(error)
        log.info("%s %.1f ms", self.query_id, (time.perf_counter() - started) * 1e3)

    def _execute(self, handle: Any, statement: Statement, parameters: dict[str, str], *, started: float) -> None:
        if statement.rows is not None:
            self._insert(handle, statement, started=started)
            return
        bound = {name.removeprefix("param_"): text for name, text in parameters.items() if name.startswith("param_")}
        asked = statement.output_format or parameters.get("default_format", "")
        # The client waits for the whole answer where it wants true figures in the headers.
        if asked in STREAMED_FORMATS and not statement.is_insert and parameters.get("wait_end_of_query") != "1":
            self._stream(handle.send_query(statement.sql, asked, params=bound), asked)
            return
        if asked:
            result = handle.query(statement.sql, asked, params=bound)
            answer, shown_format = result.bytes() or b"", "" if statement.is_insert else asked
        else:
            # Statements without a result set have no format; a line of names tells them from an empty result.
            result = handle.query(statement.sql, "TabSeparatedWithNames", params=bound)
            named = result.bytes() or b""
            answer, shown_format = named[named.find(b"\n") + 1 :], "TabSeparated" if named else ""
        headers = self._summary(
            started=started, read=(result.rows_read(), result.bytes_read()), result_bytes=len(answer)
        )
        if shown_format:
            headers["X-ClickHouse-Format"] = shown_format
        if parameters.get("enable_http_compression") == "1" and len(answer) > COMPRESS_FROM_BYTES:
            answer, encoding = compressed(answer, accept_encoding=self.headers.get("Accept-Encoding") or "")
            if encoding:
                headers["Content-Encoding"] = encoding
        self._send(200, answer, content_type=_content_type(asked), headers=headers)

    def _insert(self, handle: Any, statement: Statement, *, started: float) -> None:
        """Push the rows into the engine as they arrive: an insert of any size takes a few megabytes here."""
        inserter = handle.send_insert(statement.sql, statement.insert_format)
        try:
            for piece in statement.rows or ():
                inserter.append(piece)
            result = inserter.finish()
        except BaseException:
            # Of an upload that breaks off nothing stays, but blocks that the engine had already written.
            inserter.cancel()
            raise
        written = (result.rows_written, result.bytes_written)
        headers = self._summary(started=started, read=written, written=written)
        self._send(200, b"", content_type=_content_type(""), headers=headers)

    def _stream(self, pieces: Any, name: str) -> None:
        """Send blocks as they come.

        The first is fetched before the headers, so that nearly every error gets its status code. A later one is sent
        in band, framed by the tag of the headers, as clickhouse-server does.
        """
        try:
            piece = next(pieces, None)
            tag = secrets.token_hex(8)
            self._send_head(
                200,
                content_type=_content_type(name),
                headers={"X-ClickHouse-Format": name, "X-ClickHouse-Exception-Tag": tag},
            )
            while piece is not None:
                self._send_chunk(piece.bytes())
                try:
                    piece = next(pieces, None)
                except Exception as error:  # noqa: BLE001  # Told in band, below.
                    text = str(engine_error(error)).encode() + b"\n"
                    frame = b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n"
                    self._send_chunk(frame % (tag.encode(), text, len(text), tag.encode()))
                    break
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        finally:
            pieces.close()

    def _authenticate(self, parameters: dict[str, str]) -> None:
        """Raises EngineError AUTHENTICATION_FAILED. There is one user; where it has no password, anybody is it."""
        user = self.headers.get("X-ClickHouse-User") or parameters.get("user") or USER
        password = self.headers.get("X-ClickHouse-Key") or parameters.get("password") or ""
        scheme, _, credentials = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(credentials).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise authentication_failed(user) from None
        is_right = hmac.compare_digest(password.encode(), self.password.encode())
        if self.password and not (is_right and user in {USER, ""}):
            raise authentication_failed(user or USER)

    def _body(self) -> Iterator[bytes]:
        yield from body_pieces(self._raw_body(), encoding=(self.headers.get("Content-Encoding") or "").lower())
        self.is_body_read = True

    def _raw_body(self) -> Iterator[bytes]:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            while size := self._chunk_size():
                yield from self._exactly(size)
                self.rfile.readline(8)
            while self.rfile.readline(8192) not in {b"\r\n", b"\n", b""}:
                pass
        else:
            yield from self._exactly(int(self.headers.get("Content-Length") or 0))

    def _chunk_size(self) -> int:
        line = self.rfile.readline(64)
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise BodyCutShort from None

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self.rfile.read(min(size, 1 << 20))
            if not piece:
                raise BodyCutShort
            size -= len(piece)
            yield piece

    # --- Answers ------------------------------------------------------------------------------------------------------
    def _summary(
        self, *, started: float, read: tuple[int, int], written: tuple[int, int] = (0, 0), result_bytes: int = 0
    ) -> dict[str, str]:
        figures = {
            "read_rows": read[0],
            "read_bytes": read[1],
            "written_rows": written[0],
            "written_bytes": written[1],
            "total_rows_to_read": 0,
            "result_rows": 0,
            "result_bytes": result_bytes,
            "elapsed_ns": int((time.perf_counter() - started) * 1e9),
        }
        return {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in figures.items()})}

    def _send_error(self, error: Exception) -> None:
        known = engine_error(error)
        if known.error_code == 1002:
            log.error("unexpected error", exc_info=error, extra={"query_id": self.query_id})
        text = f"{known} (version {self.engine.version})\n".encode()
        headers = {"X-ClickHouse-Exception-Code": str(known.error_code)}
        self._send(known.status, text, content_type="text/plain; charset=UTF-8", headers=headers)

    def _send(self, status: int, body: bytes, *, content_type: str, headers: dict[str, str] | None = None) -> None:
        self._send_head(status, content_type=content_type, headers=headers or {}, length=len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, *, content_type: str, headers: dict[str, str], length: int | None = None) -> None:
        """length: None announces chunks."""
        self.is_answering = True
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "X-ClickHouse-Server-Display-Name": "atlasco",
            "X-ClickHouse-Query-Id": self.query_id,
            "X-ClickHouse-Timezone": self.engine.timezone,
            **headers,
            **({"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}),
        }.items():
            self.send_header(name, value)
        if not self.is_body_read:
            # What is left of the body would be taken for the next request.
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def _send_chunk(self, data: bytes | None) -> None:
        if data:
            self.wfile.write(b"%x\r\n" % len(data))
            self.wfile.write(data)
            self.wfile.write(b"\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the resolver for our name, which may take seconds and which nobody needs.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a connection broke off", exc_info=True)  # noqa: LOG014  # Called in an exception handler.


def server_bind(*, host: str, port: int, engine: Engine, password: str) -> Server:
    """A server that listens but does not serve yet. Raises OSError where the port is taken."""
    bound = type("BoundHandler", (Handler,), {"engine": engine, "password": password})
    return Server((host, port), bound)


def _content_type(name: str) -> str:
    if name in BINARY_FORMATS:
        return "application/octet-stream"
    return CONTENT_TYPES.get(name, "text/tab-separated-values; charset=UTF-8")
