"""A config of another project, of which every key is accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdeepcluster.engine import ConfigError

# Top-level names that the runners of mmselfsup 0.x, OpenSelfSup or mmselfsup 1.x read; any other is
# a variable of the file.
# fmt: off
ROOTS = frozenset((
    "model", "data", "optimizer", "optimizer_config", "lr_config", "runner", "total_epochs",
    "checkpoint_config", "log_config", "dist_params", "cudnn_benchmark", "log_level", "load_from",
    "resume_from", "workflow", "opencv_num_threads", "mp_start_method", "persistent_workers",
    "prefetch", "evaluation", "custom_hooks", "default_scope", "default_hooks", "env_cfg",
    "log_processor", "vis_backends", "visualizer", "resume", "train_dataloader", "train_cfg",
    "optim_wrapper", "param_scheduler", "auto_scale_lr", "randomness", "custom_imports",
    "data_preprocessor", "find_unused_parameters", "work_dir", "launcher", "seed",
))
# fmt: on


class Source:
    """Reads a config and remembers which of its keys were understood.

    Args:
        content: The config as plain values.

    Attributes:
        content: The config.
        left: Keys that were read but have no counterpart, with the reason.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.left: dict[str, str] = {}
        self._read: set[str] = set()

    @classmethod
    def from_file(cls, path: str | Path) -> Source:
        """Reads a config file with its bases.

        Raises:
            ConfigError: If it does not exist or cannot be read.
        """
        if not Path(path).is_file():
            raise ConfigError(f"config file {path} does not exist")
        try:
            content = Config.fromfile(path, import_custom_modules=False).to_dict()
        except Exception as error:  # whatever the code in a config file raises
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"config file {path} cannot be read: {type(error).__name__}: {reason}; its _base_ "
                "files must be there, too"
            ) from error
        return cls(content)

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, without taking it."""
        value: Any = self.content
        for key in path.split("."):
            if isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, Mapping) and key in value:
                value = value[key]
            else:
                return default
        return value

    def take(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, with all below it understood."""
        self._read.add(path)
        return self.get(path, default)

    def leave(self, path: str, reason: str) -> None:
        """Says that a key has no counterpart, if it is there."""
        missing = object()
        if self.take(path, missing) is not missing:
            self.left[path] = reason

    def index_of(self, path: str, kind: str) -> str | None:
        """Path of the entry of a list with this ``type``, or None."""
        for number, entry in enumerate(self.get(path) or []):
            if isinstance(entry, Mapping) and entry.get("type") == kind:
                return f"{path}.{number}"
        return None

    def unread(self) -> Iterator[tuple[str, Any]]:
        """Keys that nobody took, with their values; of variables of the file the name alone."""
        for root, value in self.content.items():
            if root in ROOTS and not (root == "optimizer" and "optim_wrapper" in self.content):
                yield from self._unread_below(root, value)

    @property
    def variables(self) -> list[str]:
        """Top-level names that only other keys of the file use."""
        return sorted(set(self.content) - ROOTS)

    def _unread_below(self, path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if path in self._read:
            return
        below = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(
            value, list
        ) else ()  # fmt: skip
        found = [(f"{path}.{key}", entry) for key, entry in below]
        if not found:
            yield path, value
        for name, entry in found:
            yield from self._unread_below(name, entry)
