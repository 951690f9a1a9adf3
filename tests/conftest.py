"""Shared settings: few threads, so that figures do not depend on the number of cores; order."""

import os

# Also of the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)

# Folders whose files take a minute: begun first, so that no worker ends with one of them alone.
LONG = ("test_tools", "test_engine", "test_docs", "test_distributed", "test_benchmarks")


def pytest_collection_modifyitems(items):
    """Puts tests of ``LONG`` first; the order within a folder stays."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(LONG)))
