"""Which addresses a webhook may go to, and connecting to exactly the address that was judged.

# Note [Webhooks and the inside]
Whoever may write a webhook's URL could make our worker ask servers that only we can reach: databases, metadata services
of clouds. So a name is resolved once, every address it has must be a public one, and the connection goes to the address
that was judged: a second resolution could say something else. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from atlasco.lib.errors import Invalid

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_MAX_CHARS: Final = 2_000
# Addresses of IPv6 that carry one of IPv4, by which a gateway reaches it.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

# A timeout of 0 would mean "don't wait at all".
_LEAST_S: Final = 0.001


class InvalidWebhook(Invalid):
    """A webhook is an absolute http or https URL, without user name and password, on a public address."""

    code = "invalid_webhook"


class AddressRefused(OSError):
    """The name of a webhook leads to an address that is not public."""


def webhook_url_check(url: str) -> None:
    """Judge what can be judged without asking anybody. Raises InvalidWebhook."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidWebhook from None
    is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username and not parts.password
    if not is_whole or len(url) > URL_MAX_CHARS or port == 0 or not url.isascii() or any(c <= " " for c in url):
        raise InvalidWebhook


def address_is_public(address: Address) -> bool:
    """Whether an address belongs to somebody out there, and not to us or to nobody."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return address_is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def address_choose(host: str, port: int, *, allow_private: bool, timeout_s: float = 10.0) -> str:
    """The address to connect to. Raises AddressRefused, and OSError where the name is not known."""
    found = [str(info[4][0]) for info in _resolve(host, port, timeout_s)]
    # All of them, or a name with two addresses would be tried until the private one is chosen.
    if not allow_private:
        for text in found:
            if not address_is_public(ipaddress.ip_address(text.partition("%")[0])):
                # Which one it is, nobody outside shall learn by asking.
                raise AddressRefused(f"{host} leads to what is not a public address.")
    return found[0]


def _resolve(host: str, port: int, timeout_s: float) -> list[Any]:
    """What the resolver says, if it does so in time: by itself it may take half a minute. Raises OSError."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="notices-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"The address of {host} was not found in time.") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def connection_opened(url: str, *, allow_private: bool, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
    """A connection to the judged address of the URL's host, with TLS for the host's own name. Raises OSError.

    When timeout_s is over, from the name's resolution on, it is cut. A socket's own timeout is one for each read: a
    receiver that says a byte now and then would hold us for ever.
    """
    until_s = time.monotonic() + timeout_s
    webhook_url_check(url)
    parts = urlsplit(url)
    host, is_tls = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    address = address_choose(host, port, allow_private=allow_private, timeout_s=timeout_s)
    connection = http.client.HTTPConnection(host, port)
    sock = socket.create_connection((address, port), timeout=max(until_s - time.monotonic(), _LEAST_S))
    # Of its own descriptor: the socket itself goes through hands, of TLS and of the answer.
    with sock, sock.dup() as cutter:
        timer = threading.Timer(max(until_s - time.monotonic(), 0), _cut, (cutter,))
        timer.daemon = True
        timer.start()
        try:
            connection.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host) if is_tls else sock
            yield connection
        finally:
            timer.cancel()
            timer.join()
            connection.close()


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):  # The other side was faster.
        sock.shutdown(socket.SHUT_RDWR)
