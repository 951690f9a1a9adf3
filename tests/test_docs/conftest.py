"""Makes the helpers of this folder importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from places import make_checkout


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """The folder in which the commands of the documents are run."""
    return make_checkout(tmp_path_factory.mktemp("checkout"))
