"""Database addresses: as Django wants them, and how soon a connection notices that nobody is there any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import dj_database_url
from psycopg.conninfo import conninfo_to_dict

# A server that vanishes without a word (power, network) ends its connections after seconds: TCP alone takes minutes,
# and every thread would wait for it. The URL may say otherwise.
NOTICE_A_DEAD_SERVER: Final[Mapping[str, int]] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # Milliseconds, for bytes that nobody acknowledges.
}


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


def options_beside(url: str) -> dict[str, Any]:
    """What a connection of its own, not Django's, needs to notice a dead server: all that the URL does not say."""
    told = conninfo_to_dict(url)
    return {name: value for name, value in NOTICE_A_DEAD_SERVER.items() if name not in told}
