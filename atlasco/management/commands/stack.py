from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from atlasco.stack.cli import run, stack_arguments


class Command(BaseCommand):
    help = "Shows and steers the stack that `manage.py up` runs in another terminal."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        stack_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        code = run("stack", argparse.Namespace(**options))
        if code:
            sys.exit(code)
