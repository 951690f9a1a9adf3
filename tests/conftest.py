"""Shared settings: few threads, so that figures do not depend on the number of cores; order."""

import os
import shutil

# Also of the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium ({', '.join(BROWSERS)}) on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as player:
        running = player.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield running
        running.close()


# Folders whose files take a minute: begun first, so that no worker ends with one of them alone.
LONG = ("test_tools", "test_engine", "test_docs", "test_distributed", "test_benchmarks")


def pytest_collection_modifyitems(items):
    """Puts tests of ``LONG`` first; the order within a folder stays."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(LONG)))
