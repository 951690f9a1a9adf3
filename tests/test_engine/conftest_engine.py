"""Small trainings for the tests of the engine."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "odc" / "odc_lenet5_digits.py"

# Two epochs of seven iterations; no data workers, so that a test costs seconds.
FAST = {
    "model.num_clusters": 50,
    "train_cfg.max_epochs": 2,
    "train_dataloader.batch_size": 256,
    "train_dataloader.num_workers": 0,
    # Image by image, so that the number of data workers means something.
    "train_dataloader.transforms": "torchvision",
    "default_hooks.clustering.calibration_passes": 0,
    "default_hooks.clustering.label_warmup": 0,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 1,
}


@pytest.fixture
def photos(tmp_path):
    """A flat folder of 60 small JPEG files in 3 colours and two sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        size = (40, 56, 3) if number % 2 else (48, 48, 3)
        pixels = rng.integers(0, 80, size) + 60 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"img_{number:03d}.jpg")
    return folder


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])
