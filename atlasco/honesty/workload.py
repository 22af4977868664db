"""Writers that raise counters, readers of every tier that read them, and ways in which to break things meanwhile."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from atlasco.honesty.ledger import Ledger, Read
from atlasco.honesty.stage import Stage

COUNTERS: Final = 12
WRITERS: Final = 2
# So many of the reads are sent by somebody who has written nothing.
READERS_SHARE: Final = 0.75
# A replica that is later answers no NEAR_REALTIME read.
LIMIT_S: Final = 5.0
_TIMEOUT_S: Final = 15
_IDLE_S: Final = 5.0
_COUNTERS_SQL: Final = "SELECT external_id, (attributes->>'n')::bigint FROM entities WHERE entity_type = 'counter'"
_REPLICAS: Final = ("replica1", "replica2")
# Weights of what a reader asks. The last three send a token, a tight budget, or two pages.
_ASKED: Final = (
    ("REALTIME", 2),
    ("NEAR_REALTIME", 4),
    ("EVENTUAL", 4),
    ("own class", 2),
    ("token", 8),
    ("max lag", 1),
    ("pages", 1),
)


class Door:
    """One connection to the API, made anew when it breaks."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Host": "localhost"}
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers in lower case, body. Raises OSError, http.client.HTTPException."""
        if time.monotonic() - self._used_at > _IDLE_S:
            self.close()  # A server may have done so already; whoever sends then is not answered.
        self._used_at = time.monotonic()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = None if body is None else orjson.dumps(body)
        try:
            self._connection.request(method, f"/api/v1{path}", data, {**self._headers, **(headers or {})})
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return response.status, {k.lower(): v for k, v in response.getheaders()}, orjson.loads(raw) if raw else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Run:
    """What the threads share. ids: of each counter's entity.

    tokens: the last write's token of each, with its value and the instant at which it was sent.
    """

    stage: Stage
    ledger: Ledger = field(default_factory=Ledger)
    ids: list[str] = field(default_factory=list)
    tokens: dict[int, tuple[str, int, float]] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    phase: str = "calm"
    writes: int = 0
    writes_failed: int = 0
    lost: int = 0
    moves: list[int] = field(default_factory=list)
    primary: str = "primary"
    standbys: list[str] = field(default_factory=lambda: list(_REPLICAS))
    stopping: threading.Event = field(default_factory=threading.Event)
    # Held by a writer for one write, and by a promotion for the time in which it counts what was lost.
    write_locks: list[threading.Lock] = field(default_factory=lambda: [threading.Lock() for _ in range(WRITERS)])

    def setup(self) -> None:
        """Make the counters, each at 0."""
        self.urls = [self.stage.web_url]
        door = Door(self.stage.web_url, self.stage.tokens[0])
        for counter in range(COUNTERS):
            sent = time.monotonic()
            status, headers, body = door.ask(
                "POST", "/entities/", {"entity_type": "counter", "external_id": str(counter), "attributes": {"n": 0}}
            )
            if status != 201:
                raise RuntimeError(f"A counter can't be made: {status} {body}")
            self.ledger.acknowledge(counter, 0, time.monotonic())
            self.ids.append(body["entity_id"])
            self.tokens[counter] = (headers["x-consistency-token"], 0, sent)
        door.close()

    # --- Writing ------------------------------------------------------------------------------------------------------
    def write(self, number: int) -> None:
        """A writer's whole life: its counters in turn, each value once."""
        door = Door(self.stage.web_url, self.stage.tokens[0])
        mine = range(number, COUNTERS, WRITERS)
        values = dict.fromkeys(mine, 0)
        while not self.stopping.is_set():
            for counter in mine:
                with self.write_locks[number]:
                    values[counter] += 1
                    self._write_once(door, counter, values[counter])
                if self.stopping.wait(0.01):
                    break
        door.close()

    def _write_once(self, door: Door, counter: int, value: int) -> None:
        sent = time.monotonic()
        try:
            status, headers, _ = door.ask("PATCH", f"/entities/{self.ids[counter]}/", {"attributes": {"n": value}})
        except (OSError, http.client.HTTPException):
            status, headers = 0, {}
        if status == 200:
            self.ledger.acknowledge(counter, value, time.monotonic())
            self.tokens[counter] = (headers["x-consistency-token"], value, sent)
            self.writes += 1
        else:
            # It may have been written all the same: whoever reads a value that was not acknowledged is not wrong.
            self.writes_failed += 1
            self.stopping.wait(0.05)

    # --- Reading ------------------------------------------------------------------------------------------------------
    def read(self, seed: int) -> None:
        """A reader's whole life."""
        chance = random.Random(seed)  # noqa: S311  # Of no secret.
        kinds, weights = [name for name, _ in _ASKED], [weight for _, weight in _ASKED]
        doors: dict[tuple[str, str], Door] = {}
        while not self.stopping.is_set():
            url = chance.choice(self.urls)
            token = self.stage.tokens[chance.random() < READERS_SHARE]
            door = doors.setdefault((url, token), Door(url, token))
            kind = chance.choices(kinds, weights)[0]
            self.reads.extend(self._read_once(door, chance.randrange(COUNTERS), kind, chance))
            if kind == "pages":
                self.reads.extend(self._pages(door, chance))
        for door in doors.values():
            door.close()

    def _read_once(self, door: Door, counter: int, kind: str, chance: random.Random) -> list[Read]:
        headers: dict[str, str] = {}
        token: int | None = None
        sent: float | None = None
        if kind in {"REALTIME", "NEAR_REALTIME", "EVENTUAL"}:
            headers["X-Freshness-Tier"] = kind
        elif kind == "max lag":
            headers["X-Max-Lag-Seconds"] = f"{chance.choice((0.5, 2.5, 7.0))}"
        elif kind == "token":
            headers["X-Consistency-Token"], token, sent = self.tokens[counter]
            headers["X-Freshness-Tier"] = chance.choice(("NEAR_REALTIME", "EVENTUAL"))
        if chance.random() < 0.5:
            asked: tuple[Any, ...] = ("GET", f"/entities/{self.ids[counter]}/", None, headers)
        else:
            asked = ("POST", "/entities/search/", {"entity_type": "counter", "order_by": "entity_id"}, headers)
        answers = self._answer(door, asked, counter=counter, token=token, sent=sent)
        max_lag = headers.get("X-Max-Lag-Seconds")
        return answers if max_lag is None else [replace(answer, sla_s=float(max_lag)) for answer in answers]

    def _pages(self, door: Door, chance: random.Random) -> list[Read]:
        """Two pages in order of id. The second must show all that the first one's state had.

        A writer raises its counters in turn: whoever shows one at `v` has all others of that writer at `v - 1`.
        """
        body = {"order_by": "entity_id", "limit": 4}
        headers = {"X-Freshness-Tier": chance.choice(("NEAR_REALTIME", "EVENTUAL"))}
        try:
            status, _, first = door.ask("POST", "/entities/search/", body, headers)
            if status != 200:
                return []
            cursor, began = first["next_cursor"], time.monotonic()
            status, answered, second = door.ask("POST", "/entities/search/", {**body, "cursor": cursor}, headers)
        except (OSError, http.client.HTTPException):
            return []
        if status != 200:
            return []
        shown = {int(row["external_id"]): row["attributes"]["n"] for row in first["entities"]}
        reads: list[Read] = []
        for row in second["entities"]:
            counter = int(row["external_id"])
            # None of that writer's: in the first moments, from a store that had not got them all yet.
            seen = max((value for other, value in shown.items() if other % WRITERS == counter % WRITERS), default=0) - 1
            answer = _read_of(counter, began, answered, second, row["attributes"]["n"], self.phase)
            reads.append(replace(answer, seen=seen, is_further=bool(reads)))
        return reads

    def _answer(
        self, door: Door, asked: tuple[Any, ...], *, counter: int, token: int | None, sent: float | None
    ) -> list[Read]:
        # What had been acknowledged before the token's write was sent lies before it in the log: it must be seen, too.
        others = {} if sent is None else {other: self.ledger.last_by(other, sent) for other in range(COUNTERS)}
        began = time.monotonic()
        phase = self.phase
        try:
            status, headers, body = door.ask(*asked)
        except (OSError, http.client.HTTPException) as error:
            return [_refusal(counter, began, type(error).__name__, phase, token)]
        if status == 404 and "x-data-lag-seconds" in headers:
            # From a state before it was made: an answer like any other, and as much of a claim.
            return [_read_of(counter, began, headers, body, -1, phase, token)]
        if status != 200:
            return [_refusal(counter, began, str((body or {}).get("code", status)), phase, token)]
        if "entities" not in body:
            return [_read_of(counter, began, headers, body, body["attributes"]["n"], phase, token)]
        shown = {int(row["external_id"]): row["attributes"]["n"] for row in body["entities"]}
        # A search that does not find a counter shows a state from before it was made.
        reads = [_read_of(counter, began, headers, body, shown.get(counter, -1), phase, token)]
        for other in range(COUNTERS):
            if other != counter:
                answer = _read_of(other, began, headers, body, shown.get(other, -1), phase, others.get(other))
                reads.append(replace(answer, is_further=True))
        return reads

    # --- Breaking -----------------------------------------------------------------------------------------------------
    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Note what is going on, so that what happens can be told by it."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    def rest(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def pause_replicas(self, seconds: float) -> None:
        sources: list[str] = []
        with self.during("replicas paused"):
            for name in self.standbys:
                self.stage.ask("pause-replay", name)
            sources += self._near_sources(seconds)
            for name in self.standbys:
                self.stage.ask("resume-replay", name)
        # Once promoted, a node still answers by the address of a replica, and is never late.
        if seconds > LIMIT_S and self.primary == "primary":
            sources += self._near_sources(3)
            self.moves.append(len([source for source, _ in groupby(sources)]) - 1)

    def _near_sources(self, seconds: float) -> list[str]:
        """Ask one NEAR_REALTIME search after the other for a while. Return who answered each."""
        door, sources = Door(self.stage.web_url, self.stage.tokens[1]), []
        headers = {"X-Freshness-Tier": "NEAR_REALTIME"}
        asked = ("POST", "/entities/search/", {"entity_type": "counter"}, headers)
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and not self.stopping.wait(0.05):
            reads = self._answer(door, asked, counter=0, token=None, sent=None)
            self.reads.extend(reads)
            if reads[0].value is not None:
                sources.append(reads[0].source)
        door.close()
        return sources

    def delay_replica(self, seconds: float) -> None:
        with self.during("replica delayed"):
            name = self.standbys[0]
            self.stage.admin(name, "ALTER SYSTEM SET recovery_min_apply_delay = '3s'")
            self.stage.admin(name, "SELECT pg_reload_conf()")
            self.rest(seconds)
            self.stage.admin(name, "ALTER SYSTEM RESET recovery_min_apply_delay")
            self.stage.admin(name, "SELECT pg_reload_conf()")

    def kill(self, name: str, seconds: float) -> None:
        with self.during(f"{self._called(name)} killed"):
            self.stage.ask("kill", name)
            self.rest(seconds)
            self.stage.ask("start", name)

    def _called(self, name: str) -> str:
        """A node by what it is now, whatever it was called at first."""
        return "primary" if name == self.primary else "former primary" if name == "primary" else name

    def hang(self, name: str, seconds: float) -> None:
        with self.during(f"{self._called(name)} hangs"), self.stage.stopped(name):
            self.rest(seconds)

    def promote(self, name: str) -> None:
        """Kill the primary and promote a replica; count what that lost; bring the old one back as a replica."""
        with self.during(f"{name} promoted"):
            held = [lock.acquire() for lock in self.write_locks]
            try:
                self.stage.ask("promote", name)
                for external_id, survived in self.stage.admin(name, _COUNTERS_SQL):
                    self.lost += self.ledger.lose(int(external_id), survived=survived)
            finally:
                for lock in self.write_locks[: len(held)]:
                    lock.release()
            self.rest(3)
            self.stage.ask("start", self.primary)
        self.standbys = [node for node in (self.primary, *self.standbys) if node != name]
        self.primary = name


def _read_of(
    counter: int, began: float, headers: dict[str, str], body: Any, value: Any, phase: str, token: int | None = None
) -> Read:
    lag = headers["x-data-lag-seconds"]
    tier = headers["x-freshness-tier"]
    metadata = body.get("metadata") if isinstance(body, dict) else None
    target = metadata["freshness"]["sla_target"] if metadata else _TARGETS[tier]
    return Read(
        counter=counter,
        began=began,
        ended=time.monotonic(),
        value=int(value),
        lag_s=None if lag == "unknown" else float(lag),
        sla_met=headers["x-sla-met"] == "true",
        sla_s=target,
        tier=tier,
        source=headers["x-data-source"],
        phase=phase,
        token=token,
    )


# The contract's, held here once more: the checker does not ask the checked.
_TARGETS: Final = {"REALTIME": 1.0, "NEAR_REALTIME": 10.0, "EVENTUAL": 300.0}


def _refusal(counter: int, began: float, code: str, phase: str, token: int | None) -> Read:
    return Read(
        counter=counter,
        began=began,
        ended=time.monotonic(),
        value=None,
        lag_s=None,
        sla_met=False,
        sla_s=None,
        tier="",
        source="",
        phase=phase,
        token=token,
        code=code,
    )
