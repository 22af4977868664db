"""The run directory: who holds it, its secrets, its ports, its logs, and where the data really lies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from atlasco.stack.errors import StackAlreadyRuns, StackError
from atlasco.stack.processes import ServiceUser, process_start_time

# Where root's data and binaries go when the unprivileged user can't reach the run directory or the packages.
STAGING_DIR = Path("/var/lib/atlasco")
LOG_KEEP_BYTES = 16 << 20
STACK_ENV = "stack.env"
OWNER_ENV = "owner.env"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Generated once for each run directory. The names are the keys of secrets.json."""

    superuser_password: str
    owner_password: str
    app_password: str
    replication_password: str
    redis_password: str
    clickhouse_password: str
    secret_key: str
    admin_password: str


class RunDir:
    """One stack's directory. Nothing is created before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.stack_env = self.path / STACK_ENV
        self.owner_env = self.path / OWNER_ENV
        self._lock_fd: int | None = None
        self._user: ServiceUser | None = None

    @property
    def data(self) -> Path:
        """Where the servers' data lies: a folder of ours, or the staged one that it links to."""
        return (self.path / "data").resolve()

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def prepare(self, *, user: ServiceUser | None) -> None:
        """Create what is missing, closed to everybody else. See Note [Whose is what].

        Raises StackError where a folder can't be written.
        """
        self._user = user
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Its mode and owner are about to change: never those of somebody's home or of /tmp.
            if any(self.path.iterdir()) and not (self.path / "lock").exists():
                raise StackError(f"{self.path} is not empty and no run directory of a stack; choose another one.")
            (self.path / "lock").touch(mode=0o600)
            self._keep(self.path)
            self.logs.mkdir(exist_ok=True)
            self._keep(self.logs)
            # Web and worker exchange files here.
            (self.path / "media").mkdir(exist_ok=True)
            self._give(self.path / "media")
            if user is not None and not can_reach(user, self.path) and not (self.path / "data").exists():
                staged = STAGING_DIR / hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
                _staging_dir_create()
                staged.mkdir(exist_ok=True)
                (self.path / "data").symlink_to(staged)
            self.data.mkdir(exist_ok=True)
            self._give(self.data)
        except OSError as error:
            raise StackError(f"The run directory can't be used: {error}.") from error
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LOG_KEEP_BYTES:
                log.replace(log.with_suffix(".log.1"))

    def folder(self, *parts: str) -> Path:
        """A folder below the data folder that the servers' user owns; created where it is missing.

        Raises StackError where it can't be used.
        """
        path = self.data
        for part in parts:
            path = path / part
            try:
                path.mkdir(exist_ok=True)
                self._give(path)
            except OSError as error:
                raise StackError(f"The data folder can't be used: {error}.") from error
        return path

    def lock(self) -> None:
        """Hold the directory until this process ends. Raises StackAlreadyRuns where another one holds it."""
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 32).decode().strip() or "unknown"
            os.close(fd)
            raise StackAlreadyRuns(
                f"A stack already runs on {self.path} (pid {pid}); `manage.py stack stop` ends it."
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._lock_fd = fd

    def unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def secrets(self) -> Secrets:
        """The secrets of this directory; those that are missing are generated and kept."""
        path = self.path / "secrets.json"
        known = _read_json(path)
        wanted = {field.name for field in fields(Secrets)}
        values = {name: str(known.get(name) or secrets.token_urlsafe(24)) for name in wanted}
        if values != known:
            self.write(path.name, json.dumps(values, indent=1, sort_keys=True))
        return Secrets(**values)

    def write(self, name: str, text: str) -> None:
        """Write one of the supervisor's own files."""
        file_write(self.path / name, text)

    def read(self, name: str) -> str:
        """One of the supervisor's own files; empty where it is not there."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except OSError:
            return ""

    def write_env(self, name: str, values: Mapping[str, str]) -> None:
        """Write `NAME=value` lines for `atlasco.lib.env.load_file`."""
        self.write(name, "".join(f"{key}={value}\n" for key, value in values.items()))

    # --- Ports --------------------------------------------------------------------------------------------------------
    def reserve_ports(self, names: list[str], *, fixed: Mapping[str, int]) -> PortReservation:
        """Choose a port for each name and hold it until the reservation is released.

        fixed: ports that were asked for; any other service gets the one it had last time, or else any free one.
        Raises StackError where a fixed port is taken.
        """
        remembered = _read_json(self.path / "ports.json")
        held: dict[str, socket.socket] = {}
        for name in sorted(names, key=lambda name: name not in fixed):
            if name in fixed:
                held[name] = _hold(fixed[name]) or _refuse(name, fixed[name])
            else:
                wanted = remembered.get(name)
                held[name] = (_hold(wanted) if isinstance(wanted, int) else None) or _hold(0) or _refuse(name, 0)
        ports = {name: sock.getsockname()[1] for name, sock in held.items()}
        self.write("ports.json", json.dumps({**remembered, **ports}, indent=1, sort_keys=True))
        return PortReservation(ports=ports, sockets=held)

    # --- The processes of the last start ------------------------------------------------------------------------------
    def remember_process(self, name: str, pid: int) -> None:
        """Note a child, so that the next supervisor can tell whether this one's are all gone."""
        with (self.path / "pids").open("a", encoding="utf-8") as file:
            file.write(f"{name} {pid} {process_start_time(pid)}\n")

    def forget_processes(self) -> None:
        (self.path / "pids").unlink(missing_ok=True)

    def leftover_processes(self) -> dict[int, str]:
        """Pid and name of children of an earlier supervisor that are still there; start times tell ours from others."""
        found: dict[int, str] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / "pids").read_text(encoding="utf-8").splitlines():
                name, pid, start_time = line.split()
                if start_time.isdigit() and process_start_time(int(pid)) == int(start_time):
                    found[int(pid)] = name
        return found

    # Note [Whose is what]
    # As root we write into the run directory and its logs, so they stay root's: in a folder of its own the servers'
    # user could put links in our way. It may enter the run directory, by its group, and owns `data` and `media`.
    # A stack that a user started without root stays theirs, `lock` says whose it is.
    def _keep(self, path: Path) -> None:
        """A folder that the supervisor works in."""
        if self._user is not None and (self.path / "lock").lstat().st_uid == 0:
            _own(path, uid=0, gid=self._user.gid, mode=0o750 if path == self.path else 0o700)
        else:
            self._give(path)

    def _give(self, path: Path) -> None:
        """A folder that the servers' user works in."""
        if self._user is not None:
            _own(path, uid=self._user.uid, gid=self._user.gid, mode=0o700)
            return
        # A directory that belongs to somebody else can't be changed, and need not be: it was made for us.
        with contextlib.suppress(PermissionError):
            path.chmod(0o700)


@dataclass(frozen=True, slots=True)
class PortReservation:
    """Ports that are bound but not listened on: nobody else gets them before the servers take them over."""

    ports: Mapping[str, int]
    sockets: Mapping[str, socket.socket]

    def release(self, name: str) -> None:
        """Let go of one port, right before its server starts."""
        self.sockets[name].close()

    def release_all(self) -> None:
        for sock in self.sockets.values():
            sock.close()


def file_write(path: Path, text: str, *, owner: ServiceUser | None = None) -> None:
    """Write one small file whole or not at all, mode 600. owner: None leaves it to the supervisor's own user."""
    written = path.with_name(f".{path.name}.new")
    # As root we also write into folders of the servers' user, who may have put anything there.
    fd = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        if owner is not None:
            os.fchown(fd, owner.uid, owner.gid)
        file.write(text)
    written.replace(path)


def _own(path: Path, *, uid: int, gid: int, mode: int) -> None:
    """As root: give a folder away. Raises OSError where it is a link, which may lead to somebody else's."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def package_dir(package: str) -> Path:
    """Where an installed package lies, without the cost of importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"The package {package} is not installed; `make up` installs it.")
    return Path(spec.submodule_search_locations[0])


def can_reach(user: ServiceUser, *paths: Path | str) -> bool:
    """Whether that user may enter these folders and read and run these files. Asks the kernel, by trying."""
    test = 'for path; do test -r "$path" && test -x "$path" || exit 1; done'
    return (
        subprocess.run(
            ["/bin/sh", "-c", test, "sh", *map(str, paths)],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            check=False,
            capture_output=True,
        ).returncode
        == 0
    )


def staged(user: ServiceUser | None, *, package: str, version: str, folders: list[Path], probe: Path) -> Path:
    """The folder below which the binaries in `folders` can be run: theirs, or a copy where the user can't reach them.

    folders: siblings that belong together (programs and the libraries they find relative to themselves).
    probe: one program among them. Result: the parent folder of the siblings.
    """
    parent = folders[0].parent
    if user is None or can_reach(user, probe):
        return parent
    _staging_dir_create()
    target = STAGING_DIR / f"{package}-{version}"
    if not target.exists():
        with _only_one(STAGING_DIR / "lock"):
            if not target.exists():
                partial = target.with_name(f".{target.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                for folder in folders:
                    shutil.copytree(folder, partial / folder.name, symlinks=True)
                # A restrictive umask at install time must not survive the copy.
                for path in [partial, *partial.rglob("*")]:
                    if not path.is_symlink():
                        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
                partial.rename(target)
    return target


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _staging_dir_create() -> None:
    STAGING_DIR.mkdir(parents=True, exist_ok=True)
    # Entered by the servers' user; what lies in it has its own mode.
    STAGING_DIR.chmod(0o755)


def _hold(port: int) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of the last run in TIME_WAIT don't make a port taken; a listener does.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        return None
    return sock


def _refuse(name: str, port: int) -> socket.socket:
    if port == 0:
        raise StackError(f"There is no free port left for {name}.")
    raise StackError(f"Port {port} is taken; stop what uses it or choose another one for {name} (`--port N`).")


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
