"""Images made on the spot, and the place of real data sets."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

SaveImage = Callable[..., Path]


@pytest.fixture
def save_image(tmp_path: Path) -> SaveImage:
    """Writes a random image below ``tmp_path``; the file name chooses format and content."""

    def save(name: str, size: tuple[int, int] = (20, 16), **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name) + sum(map(ord, name)))
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return path

    return save


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cuts the end of a file off, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.fixture
def cut() -> Callable[..., Path]:
    return truncate


@pytest.fixture
def log_records() -> Iterator[list[logging.LogRecord]]:
    """What is logged through MMEngine's current logger, which does not reach pytest's caplog."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture
def real_data() -> Path:
    """Folder of real data sets; tests that need it skip where it is not given."""
    place = os.environ.get("MMDEEPCLUSTER_DATA")
    if not place:
        pytest.skip("MMDEEPCLUSTER_DATA is not set: no real data sets")
    return Path(place)
