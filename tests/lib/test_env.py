"""Settings from the environment: typed, with a helpful end where a value can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlasco.lib import env

BASE_DIR = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "SETTINGS_READ", {})
    monkeypatch.delenv("LAMPS", raising=False)


def test_an_unset_and_an_empty_variable_give_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.text("LAMPS", "three", help="") == "three"
    monkeypatch.setenv("LAMPS", "")
    assert env.text("LAMPS", "three", help="") == "three"


def test_what_was_read_is_remembered_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPS", "4")
    assert env.integer("LAMPS", 3, help="How many lamps.") == 4
    assert list(env.SETTINGS_READ.values()) == [env.SettingRead("LAMPS", "3", "How many lamps.")]


@pytest.mark.parametrize(("raw", "meant"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_a_flag_is_read_in_every_usual_spelling(monkeypatch: pytest.MonkeyPatch, raw: str, meant: bool) -> None:
    monkeypatch.setenv("LAMPS", raw)
    assert env.flag("LAMPS", not meant, help="") is meant


@pytest.mark.parametrize("raw", ["three", "3.5", "maybe"])
def test_a_value_of_another_type_ends_the_process(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("LAMPS", raw)
    with pytest.raises(env.BadSetting, match="LAMPS"):
        env.integer("LAMPS", 1, help="")
    with pytest.raises(env.BadSetting, match="LAMPS"):
        env.flag("LAMPS", False, help="")


def test_a_number_that_is_none_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPS", "2.5")
    assert env.number("LAMPS", 1, help="") == 2.5
    monkeypatch.setenv("LAMPS", "two")
    with pytest.raises(env.BadSetting, match="LAMPS='two'"):
        env.number("LAMPS", 1, help="")


def test_a_whole_number_below_its_minimum_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPS", "0")
    with pytest.raises(env.BadSetting, match="at least 1"):
        env.integer("LAMPS", 2, help="", minimum=1)


def test_words_are_cut_at_commas_and_empty_ones_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.words("LAMPS", help="") == []
    monkeypatch.setenv("LAMPS", " hall, ,kitchen,")
    assert env.words("LAMPS", help="") == ["hall", "kitchen"]


def test_a_file_fills_in_what_the_environment_leaves_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAMPS", "mine")
    monkeypatch.delenv("CHAIRS", raising=False)
    file = tmp_path / "stack.env"
    file.write_text("LAMPS=theirs\nCHAIRS=a=b\n# no name\n\n", encoding="utf-8")
    env.load_file(file)
    assert (env.text("LAMPS", help=""), env.text("CHAIRS", help="")) == ("mine", "a=b")
    monkeypatch.delenv("CHAIRS")


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    before = dict(os.environ)
    assert env.file_values(tmp_path / "none.env") == {}
    env.load_file(tmp_path / "none.env")
    assert {**os.environ, env.FROM_FILE: ""} == {**before, env.FROM_FILE: ""}


LEFTOVER = "DATABASE_URL=embedded\nREPLICA_URLS=embedded1,embedded2\nREDIS_URL=embedded-redis\n"


@pytest.fixture
def leftover(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a stack that ran here, and an environment that names nothing; what a test loads is undone."""
    for name in ("DATABASE_URL", "REPLICA_URLS", "REDIS_URL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    file = tmp_path / "stack.env"
    file.write_text(LEFTOVER, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("primary", "replicas"),
    [(None, "embedded1,embedded2"), ("embedded", "embedded1,embedded2"), ("production", "")],
)
def test_replicas_come_from_the_file_only_with_their_primary(
    monkeypatch: pytest.MonkeyPatch, leftover: Path, primary: str | None, replicas: str
) -> None:
    if primary is not None:
        monkeypatch.setenv("DATABASE_URL", primary)
    assert env.file_is_of(leftover, "DATABASE_URL") is (primary != "production")
    env.load_file(leftover, together={"DATABASE_URL": {"REPLICA_URLS"}})
    assert env.text("DATABASE_URL", help="") == (primary or "embedded")
    assert env.text("REPLICA_URLS", help="") == replicas
    assert env.text("REDIS_URL", help="") == "embedded-redis"


def test_the_settings_take_nothing_of_a_leftover_stack_for_another_primary(leftover: Path) -> None:
    leftover.with_name("owner.env").write_text("DATABASE_OWNER_URL=embedded-owner\n", encoding="utf-8")
    script = (
        "import django; django.setup();"
        "from django.conf import settings; from tenants.database.owner import owner_url;"
        "print(settings.REPLICA_ALIASES, [owner_url()])"
    )
    environ = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "atlasco.settings",
        "ATLASCO_RUN_DIR": str(leftover.parent),
        "DATABASE_URL": "postgresql://atlasco_app@db.example/atlasco",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] ['']\n"


def test_a_mail_server_is_read_from_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.mail("LAMPS", help="") == env.Mail()
    monkeypatch.setenv("LAMPS", "smtp+tls://me%40example.com:p%3Aw@mail.example.com")
    made = env.mail("LAMPS", help="")
    assert made == env.Mail("smtp", "mail.example.com", 587, "me@example.com", "p:w", is_tls=True)
    assert "p:w" not in repr(made)
    monkeypatch.setenv("LAMPS", "console:")
    assert env.mail("LAMPS", help="").backend == "console"
    monkeypatch.setenv("LAMPS", "smtp://secret")
    assert env.mail("LAMPS", help="").port == 25


@pytest.mark.parametrize("raw", ["mail.example.com", "http://x:secret@y", "smtp://", "smtp://h:x"])
def test_another_url_ends_without_telling_the_password(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("LAMPS", raw)
    with pytest.raises(env.BadSetting) as ended:
        env.mail("LAMPS", help="")
    assert "secret" not in str(ended.value)
