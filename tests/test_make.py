"""`make clean` removes what is ours, `make bench` runs every benchmark."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from atlasco.management.commands import bench
from entities.bench.report import Report

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


def make_clean(folder: Path, run_dir: Path) -> subprocess.CompletedProcess[str]:
    """`make clean` of a checkout in that folder."""
    return subprocess.run(
        ["make", "-f", str(MAKEFILE), "clean"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "ATLASCO_RUN_DIR": str(run_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout" / ".venv").mkdir(parents=True)
    return tmp_path / "checkout"


@pytest.mark.parametrize("files", [["letters.txt"], ["letters.txt", "lock"], []])
def test_a_folder_that_no_stack_made_is_left_alone(checkout: Path, files: list[str]) -> None:
    home = checkout.parent / "my home"
    home.mkdir()
    for name in files:
        (home / name).write_text("dear", encoding="utf-8")
    done = make_clean(checkout, home)
    assert done.returncode != 0
    assert f"{home} is not a run directory of a stack" in done.stderr
    assert sorted(path.name for path in home.iterdir()) == sorted(files)
    assert (checkout / ".venv").exists(), "nothing is removed"


def test_a_run_directory_is_removed_with_the_data_it_links_to(checkout: Path) -> None:
    run_dir, data = checkout.parent / "run", checkout.parent / "staged"
    run_dir.mkdir()
    data.mkdir()
    for name in ("lock", "secrets.json"):
        (run_dir / name).touch()
    (run_dir / "data").symlink_to(data)
    assert make_clean(checkout, run_dir).returncode == 0
    assert not run_dir.exists() and not data.exists() and not (checkout / ".venv").exists()


def test_there_need_be_no_run_directory(checkout: Path) -> None:
    assert make_clean(checkout, checkout / "none").returncode == 0
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ((), {"long": 10, "short": 5}),
        (("--entities", "50"), {"long": 50, "short": 50}),
        (("long",), {"long": 1_000}),
        (("short",), {"short": 5}),
    ],
)
def test_without_a_name_every_benchmark_runs(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sizes: dict[str, int]
) -> None:
    def run(name: str) -> Callable[[bench.BenchOptions], Report]:
        return lambda options: Report(name, facts={"entities": options.entities})

    known = {
        "long": bench.Bench(run("long"), "takes a while", 1_000, 10),
        "short": bench.Bench(run("short"), "does not", 5, 5),
    }
    monkeypatch.setattr(bench, "BENCHES", known)
    out = StringIO()
    call_command("bench", *arguments, "--json", stdout=out)
    printed = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {report["bench"]: report["facts"]["entities"] for report in printed} == sizes
