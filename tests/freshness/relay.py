"""A way to a server that holds its answers up."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Relay:
    """Passes bytes on between clients of `url` and the server. held_s: how long each answer is held up from now on.

    held: how many were.
    """

    def __init__(self, server_url: str) -> None:
        told = conninfo_to_dict(server_url)
        self._server = (str(told["host"]), int(str(told["port"])))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.url = make_conninfo(server_url, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable")
        self.held_s = 0.0
        self.held = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while content := source.recv(65536):
                if is_answer and self.held_s:
                    time.sleep(self.held_s)
                    self.held += 1
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return
