"""Training batches that are augmented on the device of the network.

Both loaders are iterated like torch's: they have ``batch_sampler``, ``dataset`` and a length, and
hand out ``dict(inputs, sample_idx)``, here with tensors on the device. The augmentation of a sample
follows from its draw alone, so it depends neither on the batch nor on the number of workers or
processes, and an epoch may be entered at any batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mmdeepcluster.datasets.held_images import HeldImages, hold_images
from mmdeepcluster.datasets.image_view import ImageView
from mmdeepcluster.datasets.samplers import BalancedBatchSampler, Draw
from mmdeepcluster.datasets.transforms.batched import BatchPipeline, BatchStep, build_steps
from mmdeepcluster.datasets.transforms.batched.steps import to_device

DEFAULT_LIMIT = 2**30
# Batches are augmented together up to this many values: small ones cost little more than calls.
_AT_ONCE = 2**19

Batch = dict[str, Tensor]


def build_device_loader(
    view: ImageView,
    batches: BalancedBatchSampler,
    device: str | torch.device,
    in_memory_limit: int,
    loader_options: dict[str, Any],
) -> HeldLoader | WorkerLoader:
    """Chooses between holding the images and decoding them in data workers, and says so.

    Args:
        view: the data set through the training pipeline, made of torchvision transforms.
        batches: which draws make which batch.
        device: where images are changed and batches arrive.
        in_memory_limit: images of at most this many bytes are held.
        loader_options: options of torch's DataLoader, where workers decode.

    Raises:
        ValueError: the pipeline holds what cannot be executed in batches, or does not end in
            ``PILToTensor``.
    """
    transforms = _transforms(view)
    steps = build_steps(transforms[:-1])
    place = torch.device(device)
    num_workers = loader_options["num_workers"]
    held = hold_images(view.dataset, steps, in_memory_limit, place, num_workers)
    if isinstance(held, HeldImages):
        loader: HeldLoader | WorkerLoader = HeldLoader(view, batches, steps, held)
    else:
        print_log(f"train_dataloader.transforms='device': {held}, data workers decode", "current")
        fixing = next((n + 1 for n, step in enumerate(steps) if step.fixes_size), 0)
        first = v2.Compose([*transforms[:fixing], v2.PILToTensor()])
        decoder = DataLoader(
            DrawView(view.dataset, first, name=view.name),
            batch_sampler=batches,
            **loader_options,
        )
        loader = WorkerLoader(view, decoder, BatchPipeline(steps[fixing:], fixing), place)
    return loader


def _transforms(view: ImageView) -> list[Any]:
    """The transforms of a view."""
    transforms = list(getattr(view.pipeline, "transforms", ()))
    if not transforms or not isinstance(transforms[-1], v2.PILToTensor):
        raise ValueError(
            f"train_dataloader.transforms='device' needs a {view.name} that ends in "
            "dict(type='PILToTensor'): what comes behind it there would round otherwise"
        )
    return transforms


class HeldLoader:
    """Gathers batches from images that are held as one tensor.

    Args:
        view: the data set through the whole training pipeline.
        batches: which draws make which batch.
        steps: the steps of the pipeline.
        held: the images, behind the first of these steps.

    Attributes:
        dataset: the view, which MMEngine looks at.
        batch_sampler: where hooks set epochs, starts and labels.
        images: the held images (N, C, H, W).
        pipeline: the steps that they have not behind them.
        loading: how batches are made, for people.
    """

    def __init__(
        self,
        view: ImageView,
        batches: BalancedBatchSampler,
        steps: list[BatchStep],
        held: HeldImages,
    ) -> None:
        self.dataset = view
        self.batch_sampler = batches
        self.images = held.images
        self.pipeline = BatchPipeline(steps[held.num_done :], held.num_done)
        size = max(self.images[0].numel(), torch.Size(view.image_shape).numel())
        self._at_once = max(1, _AT_ONCE // size)
        megabytes = self.images.numel() / 2**20
        self.loading = f"{megabytes:.1f} MiB of images held on {self.images.device}"

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[list[Draw]] = []
        for batch in self.batch_sampler:
            if waiting and sum(map(len, waiting)) + len(batch) > self._at_once:
                yield from self._batches(waiting)
                waiting = []
            waiting.append(batch)
        if waiting:
            yield from self._batches(waiting)

    def _batches(self, batches: list[list[Draw]]) -> Iterator[Batch]:
        """Makes several batches at once."""
        draws = np.array([draw for batch in batches for draw in batch], dtype=np.int64)
        index: Tensor = to_device(draws[:, 0], self.images.device)
        inputs = self.pipeline(self.images[index].contiguous(), draws[:, 1])
        sizes = [len(batch) for batch in batches]
        for images, samples in zip(inputs.split(sizes), index.split(sizes), strict=True):
            yield {"inputs": images, "sample_idx": samples}


class WorkerLoader:
    """Lets data workers decode images and bring them to one size; the rest is done on the device.

    Args:
        view: the data set through the whole training pipeline.
        decoder: loader of ``dict(inputs, sample_idx, draw_seed)``.
        pipeline: the rest of the steps.
        device: where they are executed.

    Attributes:
        dataset: the view, which MMEngine looks at.
        batch_sampler: where hooks set epochs, starts and labels.
        decoder: the loader of torch.
        pipeline: the rest of the steps.
        device: where they are executed.
        loading: how batches are made, for people.
    """

    def __init__(
        self,
        view: ImageView,
        decoder: DataLoader[dict[str, Any]],
        pipeline: BatchPipeline,
        device: torch.device,
    ) -> None:
        self.dataset = view
        self.batch_sampler = decoder.batch_sampler
        self.decoder = decoder
        self.pipeline = pipeline
        self.device = device
        self.loading = f"{decoder.num_workers} data workers, augmented on {device}"

    def decoded(self, draw: Draw) -> Tensor:
        """What a data worker makes of a draw (C, H, W), before the rest of the steps."""
        sample: dict[str, Tensor] = self.decoder.dataset[draw]
        return sample["inputs"]

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.decoder)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.decoder:
            images = batch["inputs"].to(self.device, non_blocking=True)
            yield {
                "inputs": self.pipeline(images, batch["draw_seed"].numpy()),
                "sample_idx": batch["sample_idx"].to(self.device, non_blocking=True),
            }


class DrawView(ImageView):
    """A view that hands on the seed of each draw, for what is augmented later."""

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """Loads and transforms one sample; see the base class.

        Args:
            key: a draw.

        Returns:
            The entries of the base class, and ``draw_seed``.

        Raises:
            TypeError: the key is no draw.
        """
        if not isinstance(key, Draw):
            raise TypeError(f"samples of this view are drawn with a seed, got {key!r}")
        return {**super().__getitem__(key), "draw_seed": key.seed}
