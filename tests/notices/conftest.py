"""Two tenants on the real servers, and a receiver of webhooks in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.tenants.conftest import acme, globex, tenant_make

__all__ = ["acme", "globex", "tenant_make"]


@dataclass
class Receiver:
    """What came, and what is answered: the statuses in turn, the last one for ever."""

    url: str = ""
    # So long each byte of an answer's first line waits.
    drip_s: float = 0.0
    statuses: list[int] = field(default_factory=lambda: [204])
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, headers: dict[str, str], content: bytes) -> int:
        self.heard.append((headers, content))
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status = made.answer({name.lower(): text for name, text in self.headers.items()}, content)
            if made.drip_s:
                with suppress(OSError):  # Nobody waited.
                    for byte in f"HTTP/1.0 {status} No Content\r\n\r\n".encode():
                        self.wfile.write(bytes([byte]))
                        time.sleep(made.drip_s)
            else:
                self.send_response(status)
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/hook?of=acme"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()
