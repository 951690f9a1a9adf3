"""One data set seen through one pipeline.

Training and evaluation are two views of one data set. A view turns a key into
``dict(inputs, sample_idx)``; a :class:`~mmdeepcluster.datasets.samplers.Draw` as the key carries
the seed of its augmentation, so a batch does not depend on which data worker makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.decode_error import DecodeError
from mmdeepcluster.datasets.samplers import Draw
from mmdeepcluster.datasets.transforms import build_pipeline

Pipeline = Callable[[Any], Tensor]


@contextmanager
def seeded_cpu_rng(seed: int) -> Iterator[None]:
    """Seeds torch's default CPU generator for a block and restores its state afterwards.

    Transforms of torchvision draw from that generator. ``torch.manual_seed`` would also reset
    the generators of all GPUs. Saving, seeding and restoring take 2 microseconds together.

    Args:
        seed: seed inside the block; torch's CPU generator uses its low 32 bits.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


class MixedShapesError(RuntimeError):
    """Images of a view have different shapes."""


class ImageView(Dataset[dict[str, Any]]):
    """Images of a data set after a pipeline.

    The first image goes through the pipeline once at construction, so that a pipeline that does
    not end in a tensor is refused before training.

    Args:
        dataset: the images.
        pipeline: transform configs, or a callable from an image to a tensor of shape (C, H, W).
        name: config key of the pipeline, for messages: ``'train_pipeline'`` or
            ``'eval_pipeline'``.

    Attributes:
        image_shape: shape (C, H, W) of every tensor of this view.
        metainfo: empty; MMEngine asks data sets for it.

    Raises:
        ValueError: the pipeline has an unknown transform or a bad value.
        TypeError: the pipeline has an unknown option, or does not return a uint8 or float
            tensor of shape (C, H, W).
    """

    def __init__(
        self,
        dataset: BaseImageDataset,
        pipeline: Sequence[Mapping[str, Any]] | Pipeline,
        name: str = "pipeline",
    ) -> None:
        self.dataset = dataset
        self.name = name
        self.metainfo: dict[str, Any] = {}
        self.pipeline: Pipeline = pipeline if callable(pipeline) else self._build(pipeline)
        with seeded_cpu_rng(0):
            first = self._apply(0)
        self._check_tensor(first)
        self.image_shape = tuple(first.shape)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """Loads and transforms one sample.

        Args:
            key: index of a sample, which leaves random transforms to the state of torch's
                default generator, or a draw, whose seed decides them and which leaves that
                state as it was.

        Returns:
            ``inputs``, a uint8 or float tensor of shape (C, H, W), and ``sample_idx``, an int.

        Raises:
            IndexError: there is no such sample.
            OSError: the image cannot be read.
            RuntimeError: the pipeline fails on it.
            MixedShapesError: it gives a tensor of another shape.
        """
        inputs = self.image(key)
        index = key.index if isinstance(key, Draw) else int(key)
        if inputs.shape != self.image_shape:
            raise MixedShapesError(
                f"{self.name} makes {tuple(inputs.shape)} of {self.dataset.sample_name(index)!r} "
                f"but {self.image_shape} of {self.dataset.sample_name(0)!r}, and a batch needs "
                f"one shape: give both height and width, as in RandomResizedCrop(size=(h, w)) or "
                f"CenterCrop(size=(h, w))"
            )
        return {"inputs": inputs, "sample_idx": index}

    def image(self, key: int | Draw) -> Tensor:
        """The tensor of one sample, whatever its shape; see :meth:`__getitem__`."""
        if isinstance(key, Draw):
            index = self._check_index(key.index)
            with seeded_cpu_rng(key.seed):
                return self._apply(index)
        return self._apply(self._check_index(int(key)))

    def __repr__(self) -> str:
        return f"ImageView of {self.dataset} through {self.name} = {self.pipeline}"

    def _build(self, pipeline: Sequence[Mapping[str, Any]]) -> Pipeline:
        try:
            return self._pipeline(pipeline)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _pipeline(self, pipeline: Sequence[Mapping[str, Any]]) -> Pipeline:
        """Builds what executes transform configs."""
        built: Pipeline = build_pipeline(pipeline)
        return built

    def _check_index(self, index: int) -> int:
        # A negative index would otherwise become a row of the memory that is not its own.
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} is outside [0, {len(self)}) of {self.dataset}")
        return index

    def _load(self, index: int) -> Any:
        """What the pipeline gets."""
        return self.dataset.load_image(index)

    def _apply(self, index: int) -> Tensor:
        try:
            image = self._load(index)
        except Exception as error:
            raise self._unreadable(index, error) from error
        try:
            output = self.pipeline(image)
        except DecodeError as error:
            raise self._unreadable(index, error) from error
        except Exception as error:
            raise RuntimeError(
                f"{self.name} fails on {self.dataset.sample_name(index)!r} (sample {index}, "
                f"{image.size[0]}x{image.size[1]} {image.mode}): {type(error).__name__}: {error}"
            ) from error
        # Collation into shared memory wants plain tensors, not torchvision's Image subclass.
        return output.as_subclass(Tensor) if isinstance(output, Tensor) else output

    def _unreadable(self, index: int, error: Exception) -> OSError:
        name = self.dataset.sample_name(index)
        return OSError(f"cannot read {name!r} (sample {index} of {self.dataset}): {error}")

    def _check_tensor(self, output: Any) -> None:
        wanted = "a uint8 or float tensor of shape (C, H, W)"
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{self.name} returns {type(output).__name__}, not {wanted}: add "
                f"dict(type='PILToTensor') to it"
            )
        if output.ndim != 3 or not (output.dtype == torch.uint8 or output.is_floating_point()):
            raise TypeError(
                f"{self.name} returns {output.dtype} of shape {tuple(output.shape)}, not {wanted}"
            )
