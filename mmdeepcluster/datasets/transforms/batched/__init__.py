"""Pipelines that change whole batches on the device of the network."""

from mmdeepcluster.datasets.transforms.batched.pipeline import (
    STEPS,
    BatchPipeline,
    build_steps,
)
from mmdeepcluster.datasets.transforms.batched.sample_random import SampleRandom
from mmdeepcluster.datasets.transforms.batched.steps import BatchStep

__all__ = ["STEPS", "BatchPipeline", "BatchStep", "SampleRandom", "build_steps"]
