from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from atlasco.stack.cli import up_arguments
from atlasco.stack.plan import BASE_DIR


class Command(BaseCommand):
    help = "Runs the whole real stack in the foreground: databases, replicas, cache, web, worker, beat."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        up_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # In place of this process: the supervisor forks often and lives long, and needs none of what Django loaded.
        arguments = [
            *(["--port", str(options["port"])] if options["port"] else []),
            *(["--run-dir", str(options["run_dir"].absolute())] if options["run_dir"] else []),
            *(["--only", options["only"]] if options["only"] else []),
            *(f"--{name.replace('_', '-')}" for name in ("no_demo", "any_port", "not_durable") if options[name]),
            *("--steps", options["steps"]),
        ]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH")]))
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "atlasco.stack", "up", *arguments])
