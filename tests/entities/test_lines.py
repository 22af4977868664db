"""Bytes in, checked lines out; and gzip in between."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entities.ingest.lines import BodyInflated, BrokenBody, Line, Rejection, gunzip, line_parse, lines_split
from tests.entities.effort import examples

NEEDS_NO_SERVER = True
LONG = 16

LINE = {"entity_type": "lamp", "external_id": "l-1", "attributes": {"lit": True}}


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    """The body in chunks that end at the given places; empty chunks too."""
    places = sorted(min(cut, len(body)) for cut in cuts)
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def split(chunks: list[bytes]) -> list[tuple[int, bytes | Rejection]]:
    return list(lines_split(chunks, line_max_bytes=LONG))


def parse(**changes: object) -> Line | Rejection:
    return line_parse(7, json.dumps({**LINE, **changes}).encode())


# --- Splitting --------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.binary(max_size=4), st.sampled_from([b"\n", b"\r\n", b"x" * LONG, b"x" * (LONG + 1), b" "]))),
    st.lists(st.integers(0, 200), max_size=12),
)
@examples(100)
def test_lines_are_the_same_however_the_body_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)
    expected = [
        (number, raw) for number, raw in enumerate(body.split(b"\n"), start=1) if len(raw) > LONG or raw.strip()
    ]
    found = split(pieces(body, cuts))
    assert [number for number, _ in found] == [number for number, _ in expected]
    for (number, line), (_, raw) in zip(found, expected, strict=True):
        if isinstance(line, Rejection):
            assert (line.line, line.code) == (number, "line_too_long")
            assert len(raw) > LONG and f"this one has {len(raw)}." in line.detail
        else:
            assert line == raw


def test_the_last_line_needs_no_newline() -> None:
    assert split([b"a\nb"]) == [(1, b"a"), (2, b"b")] == split([b"a\nb\n"])


def test_blank_lines_count_but_are_no_lines() -> None:
    assert split([b"\n \r\n\t\na\n\n"]) == [(4, b"a")]
    assert split([]) == split([b""]) == split([b"\n\n"]) == []


def test_carriage_returns_do_no_harm() -> None:
    (_, first), (_, second) = list(lines_split([json.dumps(LINE).encode() + b"\r\n"] * 2, line_max_bytes=1000))
    assert isinstance(first, bytes) and isinstance(second, bytes)
    assert isinstance(line_parse(1, first), Line) and isinstance(line_parse(2, second), Line)


def test_a_line_that_is_too_long_is_not_kept_in_memory() -> None:
    consumed = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            consumed.append(number)
            yield b"x" * 1000
        yield b"\nfine\n"

    (number, rejection), fine = lines_split(chunks(), line_max_bytes=LONG)
    assert isinstance(rejection, Rejection)
    assert (number, rejection.code) == (1, "line_too_long") and "1000000" in rejection.detail
    assert fine == (2, b"fine") and len(consumed) == 1000


# --- Parsing ----------------------------------------------------------------------------------------------------------


def test_a_line_becomes_one_update() -> None:
    line = parse(
        at="2026-01-01T00:00:00Z", created_at="2025-01-01T00:00:00+01:00", tenant="globex", attributes={"é": None}
    )
    assert line == Line(
        number=7,
        entity_type="lamp",
        external_id="l-1",
        created_at="2025-01-01T00:00:00+01:00",
        at="2026-01-01T00:00:00Z",
        attributes='{"é":null}'.encode(),
    )


def test_instants_may_be_null_or_absent() -> None:
    assert parse(at=None, created_at=None) == parse()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "invalid_json"),
        (b"{}{}", "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b"not json", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": "\xff"}', "invalid_json"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_json"),
        (rb'{"a": "\ud800"}', "invalid_json"),
        (b'\xef\xbb\xbf{"a": 1}', "invalid_json"),
        (b'{"a": ' + b"[" * 100_000, "invalid_json"),
        (b'{"a": 1e999}', "number_out_of_range"),
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b'"text"', "invalid_type"),
        (b"{}", "required"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_json_object_of_ours_is_rejected(raw: bytes, code: str) -> None:
    rejection = line_parse(7, raw)
    assert isinstance(rejection, Rejection)
    assert (rejection.line, rejection.code) == (7, code)


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"entity_type": None}, "required", "entity_type"),
        ({"entity_type": ""}, "invalid_length", "entity_type"),
        ({"entity_type": "x" * 101}, "invalid_length", "entity_type"),
        ({"entity_type": "a\x00b"}, "nul_character", "entity_type"),
        ({"external_id": 5}, "invalid_type", "external_id"),
        ({"external_id": "x" * 513}, "invalid_length", "external_id"),
        ({"created_at": "yesterday"}, "invalid_timestamp", "created_at"),
        ({"at": "2026-01-01"}, "invalid_timestamp", "at"),
        ({"at": 1_700_000_000}, "invalid_timestamp", "at"),
        ({"at": "9999-12-31T23:59:59-01:00"}, "timestamp_out_of_range", "at"),
        ({"attributes": None}, "invalid_type", "attributes"),
        ({"attributes": []}, "invalid_type", "attributes"),
        ({"attributes": {"": 1}}, "invalid_name", "attributes."),
        ({"attributes": {"x" * 256: 1}}, "invalid_name", "attributes."),
        ({"attributes": {"a\x00": 1}}, "nul_character", "attributes.a"),
        ({"attributes": {"a": "b\x00"}}, "nul_character", "attributes.a"),
        ({"attributes": {"a": []}}, "invalid_value", "attributes.a"),
        ({"attributes": {"a": {"b": 1}}}, "invalid_value", "attributes.a"),
        ({"attributes": {"a": "x" * (1 << 20) + "y"}}, "value_too_long", "attributes.a"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_rejection_says_what_and_where(changes: dict[str, object], code: str, place: str) -> None:
    rejection = parse(**changes)
    assert isinstance(rejection, Rejection)
    assert rejection.code == code and place in rejection.detail
    assert rejection.as_dict() == {"line": 7, "code": code, "detail": rejection.detail}


@pytest.mark.parametrize(
    "number",
    ["9223372036854775807", "-9223372036854775808", "18446744073709551615", "0.1", "123456789012.345", "1e300"],
)
def test_numbers_pass_unchanged(number: str) -> None:
    line = line_parse(1, b'{"entity_type":"t","external_id":"e","attributes":{"n":%s}}' % number.encode())
    assert isinstance(line, Line)
    assert json.loads(line.attributes) == {"n": json.loads(number)}


@given(
    st.dictionaries(
        st.text(max_size=3), st.one_of(st.text(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.booleans())
    )
)
@examples(100)
def test_whatever_is_accepted_can_be_written(attributes: dict[str, object]) -> None:
    raw = orjson.dumps({**LINE, "attributes": attributes})
    line = line_parse(1, raw)
    if isinstance(line, Line):
        assert b"\\u0000" not in line.attributes
        assert orjson.loads(line.attributes) == orjson.loads(raw)["attributes"]
    else:
        # NaN and the infinities become null in JSON, which removes.
        assert line.code in {"nul_character", "invalid_name"}


# --- Gzip -------------------------------------------------------------------------------------------------------------

BODY = b"".join(b'{"line": %d}\n' % number for number in range(2000))


@given(st.lists(st.integers(0, 20_000), max_size=12), st.lists(st.integers(0, len(BODY)), max_size=4))
@examples(100)
def test_gzip_of_any_members_in_any_chunks_is_the_same_body(cuts: list[int], members: list[int]) -> None:
    packed = b"".join(gzip.compress(part) for part in pieces(BODY, members))
    assert b"".join(gunzip(pieces(packed, cuts))) == BODY


def test_an_empty_body_is_empty() -> None:
    assert b"".join(gunzip([])) == b"".join(gunzip([b""])) == b"".join(gunzip([gzip.compress(b"")])) == b""


@given(st.integers(1, len(gzip.compress(BODY)) - 1))
@examples(50)
def test_a_truncated_stream_is_broken_not_short(end: int) -> None:
    with pytest.raises(BrokenBody, match="ends too early"):
        list(gunzip([gzip.compress(BODY)[:end]]))


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip",
        BODY,
        zlib.compress(BODY),
        gzip.compress(BODY) + b"garbage",
        gzip.compress(BODY)[:-8] + b"\0" * 8,
        gzip.compress(BODY)[:100] + b"\xff" * 100,
    ],
    ids=["text", "json", "zlib", "garbage after", "wrong checksum", "damaged"],
)
def test_what_is_no_gzip_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenBody):
        list(gunzip([body]))


def test_a_bomb_comes_out_in_bounded_pieces() -> None:
    size = 64 << 20
    packed = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packed.compress(b"\0" * (1 << 20)) for _ in range(size >> 20)) + packed.flush()
    sizes: list[int] = []
    with pytest.raises(BodyInflated):
        sizes.extend(len(piece) for piece in gunzip([bomb]))
    assert len(bomb) < 100_000
    assert sum(sizes) <= 200 * len(bomb) + (1 << 20) and max(sizes) <= 1 << 20


def test_lines_that_are_much_alike_are_no_bomb() -> None:
    lines = b"".join(b'{"entity_type":"lamp","external_id":"%d","attributes":{}}\n' % n for n in range(50_000))
    assert b"".join(gunzip([gzip.compress(lines, 9)])) == lines


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 5000])
def test_zeros_behind_a_member_are_padding(padding: bytes) -> None:
    packed = gzip.compress(BODY) + padding
    for body in (packed, packed + packed):
        assert b"".join(gunzip([body[:-1], body[-1:]])) == gzip.decompress(body)
    with pytest.raises(BrokenBody):
        list(gunzip([packed + b"garbage"]))


def test_a_bomb_of_one_line_is_one_rejection() -> None:
    packed = gzip.compress(b"x" * (1 << 20) + b"\nfine", 9)
    (_, rejection), fine = lines_split(gunzip([packed]), line_max_bytes=LONG)
    assert isinstance(rejection, Rejection) and rejection.code == "line_too_long"
    assert fine == (2, b"fine")
