"""Where a webhook may go. No server is asked."""

from __future__ import annotations

import ipaddress

import pytest

from tenants.notices.addresses import (
    AddressRefused,
    InvalidWebhook,
    address_choose,
    address_is_public,
    webhook_url_check,
)


def is_taken(url: str) -> bool:
    try:
        webhook_url_check(url)
    except InvalidWebhook:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:password@example.com/",
        "http://user@example.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://[::1",
        "http://example.com/a b",
        "http://example.com/\r\nHost: inside",
        "http://exämple.com/",
        "http://example.com/" + "x" * 2_000,
    ],
)
def test_what_is_no_webhook_is_refused(url: str) -> None:
    assert not is_taken(url)


def test_a_whole_url_is_taken() -> None:
    assert is_taken("https://hooks.example.com:8443/a/b?c=d")


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # Nothing is bound to it.
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_addresses_of_the_inside_are_not_public(text: str) -> None:
    assert not address_is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_addresses_of_the_outside_are(text: str) -> None:
    assert address_is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1"])
def test_a_name_is_judged_by_where_it_leads(host: str) -> None:
    """The last two are ways to write 127.0.0.1 that a comparison of texts would pass."""
    with pytest.raises(AddressRefused):
        address_choose(host, 80, allow_private=False)
    assert address_choose(host, 80, allow_private=True) in {"127.0.0.1", "::1"}
