"""The extraction benchmark measures the same work on both sides."""

import argparse
import runpy
from pathlib import Path

import numpy as np

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "extraction.py"


def test_measures_both(tmp_path):
    measure = runpy.run_path(str(BENCHMARK))["measure"]
    args = argparse.Namespace(
        network="torchvision/resnet18",
        layer=None,
        images=10,
        side=32,
        batch_size=4,
        num_workers=0,
        rounds=2,
    )
    found = measure(args, tmp_path)
    assert np.load(tmp_path / "out" / "features.npy").shape == (10, 512)
    rates = found["images_per_second"]
    assert min(rates.values()) > 0 and found["ratio"] > 0 and found["ratio_of_processor_time"] > 0
    assert found["layer"] == "backbone" and found["images"] == 10
