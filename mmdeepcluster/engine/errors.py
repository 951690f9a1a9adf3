"""Errors that are meant for the person at the terminal: one line says what to change."""

from __future__ import annotations


class ConfigError(ValueError):
    """A config, a data set or a checkpoint that cannot be used as it stands."""


class TrainingError(RuntimeError):
    """A training that cannot go on."""
