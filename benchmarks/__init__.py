"""Benchmarks: one script for each goal, and ``python -m benchmarks``, which runs what fits.

A script takes ``--json FILE`` and writes there ``targets``: name -> ``value``, ``limit``, ``met``.
To let it join the others, add a line to :data:`SCRIPTS`.
"""

from __future__ import annotations

from typing import NamedTuple


class Script(NamedTuple):
    """A benchmark.

    Attributes:
        name: File ``benchmarks/<name>.py``.
        goals: What it is about, ids of goals first.
        full: Arguments of a whole measurement.
        quick: Arguments of a look, of seconds.
        packages: Without these it cannot run.
        cores: It needs so many.
        gib: Memory that it takes, in GiB.
        data: File or folder below the folder of real images; quick runs do without.
    """

    name: str
    goals: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--small",)
    packages: tuple[str, ...] = ()
    cores: int = 1
    gib: float = 2.0
    data: str | None = None


_FEW = "--num-samples 20000 --small-samples 5000 --num-clusters 200 --feature-dim 64"
_SHORT = "--iterations 20 --warmup 2 --compare-iterations 30 --drift-iterations 30 --dissolves 2"
SCRIPTS = (
    Script("kmeans", "P1 P2 P4 P9: k-means beside faiss and scikit-learn", gib=3),
    Script("pca", "P5: PCA whitening beside faiss", packages=("faiss",), gib=4),
    Script("odc_memory", "P6 P8: the memory of ODC", quick=(*_FEW.split(), *_SHORT.split()), gib=5),
    Script("training_loop", "P7: the training loop beside a bare one", gib=6),
    Script("small_sets", "training on a set held in memory", data="FashionMNIST"),
    Script("jpeg_pipeline", "from JPEG files to tensors"),
    Script("kmeans_ranks", "P9: two processes on half the rows each", cores=2, gib=3),
    Script("label_swap", "P10: new labels and sampler at N = 1.28M"),
    Script("cycle", "P10: phases of a cycle, extraction", data="cifar-10-batches-py", gib=3),
    Script("extraction", "P10: extract_features beside a bare loop", quick=("--images", "32")),
    Script("step_options", "switches of the training step", gib=4),
    Script("threads", "threads of torch and data workers", cores=2),
    Script("report_page", "R55: opening and scrolling a run report", packages=("playwright",)),
    Script("lightly_step", "a step of SimCLR from lightly, a yardstick", packages=("lightly",)),
    Script("scaling", "what sizes cost that fit no machine", gib=4),
)
