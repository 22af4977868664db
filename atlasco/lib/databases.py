"""Database addresses as Django wants them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url


def database_parse(url: str, *, engine: str, conn_max_age: int = 0) -> dict[str, Any]:
    """Return Django's dictionary for an address.

    Several hosts are allowed, as libpq takes them: `postgresql://user:password@one:5432,two:5432/name` with
    `?target_session_attrs=read-write` finds the primary among them, also after another one was promoted.
    Raises ValueError for what is not an address.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return dict(dj_database_url.parse(url, engine=engine, conn_max_age=conn_max_age))
    pairs = [host.rpartition(":") if ":" in host.rpartition("]")[2] else (host, "", "") for host in hosts.split(",")]
    single = parts._replace(netloc=f"{credentials}{at}{pairs[0][0]}").geturl()
    parsed = dict(dj_database_url.parse(single, engine=engine, conn_max_age=conn_max_age))
    parsed["HOST"] = ",".join(unquote(host).strip("[]") for host, _, _ in pairs)
    parsed["PORT"] = ",".join(port or "5432" for _, _, port in pairs)
    return parsed
