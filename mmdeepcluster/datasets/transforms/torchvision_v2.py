"""The transforms of ``torchvision.transforms.v2`` by name, and pipelines of them.

Config files are text, so what torchvision wants as an enumeration or a dtype is written as a
string: ``interpolation='bicubic'``, ``dtype='float32'``, ``policy='imagenet'``.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torchvision.transforms import v2

from mmdeepcluster.registry import TRANSFORMS, find_component


def _concrete_transforms() -> dict[str, type]:
    return {
        name: item
        for name, item in vars(v2).items()
        if inspect.isclass(item) and issubclass(item, v2.Transform) and item is not v2.Transform
    }


for _name, _transform in _concrete_transforms().items():
    TRANSFORMS.register_module(name=_name, module=_transform)


def build_pipeline(pipeline: Sequence[Mapping[str, Any]]) -> v2.Compose:
    """Builds a list of transform configs.

    Args:
        pipeline: dicts with ``type``, a registered name or a class, and the transform's own
            options. An option ``transforms`` (of RandomApply, RandomChoice, ...) may hold such
            dicts again.

    Returns:
        The transforms in order.

    Raises:
        ValueError: an empty pipeline, an unknown name or a value that the transform rejects.
        TypeError: an entry is not a config, an unknown option or a missing one.
    """
    if not pipeline:
        raise ValueError("the pipeline is empty: it needs at least dict(type='PILToTensor')")
    return v2.Compose([_build(step) for step in pipeline])


def _build(config: Mapping[str, Any]) -> Callable[..., Any]:
    """Builds one transform."""
    if not isinstance(config, Mapping) or "type" not in config:
        raise TypeError(f"a transform must be a dict with a key 'type', got {config!r}")
    options = dict(config)
    factory = _find(options.pop("type"))
    name = factory.__name__
    _check_options(name, factory, options)
    try:
        parsed = {key: _parse(key, value) for key, value in options.items()}
        transform: Callable[..., Any] = factory(**parsed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"transform {name!r}: {error}") from error
    return transform


def _find(kind: Any) -> Callable[..., Any]:
    """The class that a config's ``type`` means."""
    # Registry.get() and not build(): build() looks in MMEngine's default scope, which is another
    # one outside a run, and root registries do not look into ours.
    found: Callable[..., Any] | None = find_component(TRANSFORMS, kind)
    if found is None:
        raise ValueError(f"unknown transform {kind!r}{_guess(str(kind), TRANSFORMS.module_dict)}")
    if not callable(found):
        raise TypeError(f"the type of a transform must be a name or a class, got {kind!r}")
    return found


def _check_options(name: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            raise TypeError(
                f"transform {name!r} has no option {option!r}{_guess(option, parameters)}; it "
                f"has: {', '.join(parameters) or 'none'}"
            )


def _guess(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _parse(option: str, value: Any) -> Any:
    """Turns the text of a config file into what torchvision takes."""
    if option == "transforms" and isinstance(value, Sequence):
        return [_build(item) if isinstance(item, Mapping) else item for item in value]
    if option == "interpolation" and isinstance(value, str):
        return v2.InterpolationMode(value)
    if option == "policy" and isinstance(value, str):
        return v2.AutoAugmentPolicy(value)
    if option == "dtype" and isinstance(value, str):
        dtype = getattr(torch, value, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype={value!r} is no torch dtype such as 'float32' or 'uint8'")
        return dtype
    return value
