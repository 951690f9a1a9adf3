"""Errors that are meant for the person at the terminal: one line says what to change."""

from __future__ import annotations


class ConfigError(ValueError):
    """A config, a data set or a checkpoint that cannot be used as it stands."""


class TrainingError(RuntimeError):
    """A training that cannot go on."""


class TrainingInterruptedError(RuntimeError):
    """A training that was asked to stop, and saved itself.

    Attributes:
        exit_code: What a shell reports of a process that the signal ended, 128 + its number.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
