"""Trouble that the stack expects and can explain in one sentence."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't do what was asked; the text is one sentence for whoever typed the command."""


class StackNotRunning(StackError):
    """No stack runs on this run directory."""


class StackAlreadyRuns(StackError):
    """Another supervisor holds this run directory."""


class ServiceFailed(StackError):
    """A service died while it was being started; the text ends with the last lines of its log."""
