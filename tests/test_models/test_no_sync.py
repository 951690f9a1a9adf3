"""DESIGN 3.5: no iteration waits for a GPU, shown without one and with one.

Without: the step runs on fake CUDA tensors, which have shapes and no numbers. Whatever would ask a
GPU for a number (``item``, ``bool``, ``nonzero``, a mask as an index, ``unique``) fails there.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException as AskedException
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from mmdeepcluster.clustering import HostCopy
from mmdeepcluster.engine import DeferredNormOptimWrapper
from mmdeepcluster.models.algorithms import deepercluster
from mmdeepcluster.models.heads.targets import HostCounts
from mmdeepcluster.models.memories import odc_memory
from mmdeepcluster.registry import ALGORITHMS

N, K, B = 120, 6, 16
COMMON = {
    "num_samples": N,
    "num_clusters": K,
    "backbone": {"type": "LeNet5", "in_channels": 1},
    "data_preprocessor": {"type": "ImagePreprocessor", "mean": [70.0], "std": [80.0]},
}
METHODS = {
    "ODC": COMMON
    | {
        "type": "ODC",
        "neck": {"type": "ODCNeck", "hidden_channels": 16, "out_channels": 8},
        "head": {"type": "ClusterHead"},
        "memory": {"type": "ODCMemory", "min_cluster_size": 4},
    },
    "DeepCluster": COMMON
    | {"type": "DeepCluster", "neck": {"type": "AveragePoolNeck"}, "head": {"type": "ClusterHead"}},
    "DeeperCluster": COMMON
    | {
        "type": "DeeperCluster",
        "num_super_clusters": 2,
        "neck": {"type": "AveragePoolNeck"},
        "head": {"type": "TwoLevelHead"},
    },
    "product": COMMON
    | {
        "type": "DeeperCluster",
        "num_super_clusters": 2,
        "neck": {"type": "AveragePoolNeck"},
        "head": {"type": "ProductHead"},
    },
}


class Answer:
    """Stands for a copy that has arrived: clusters are large, batches are equally mixed."""

    def __init__(self, tensor):
        self.shape = tensor.shape

    def read(self):
        return 10**6


def after_the_step(algorithm):
    """What the hook of ODC calls in each iteration."""
    if hasattr(algorithm, "memory"):
        algorithm.update_memory()
        algorithm.refresh_centroids()
        assert algorithm.balance_clusters(wait=False) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_step_asks_for_no_number(method, monkeypatch):
    monkeypatch.setattr(odc_memory, "HostCopy", Answer)
    monkeypatch.setattr("mmdeepcluster.models.heads.targets.HostCopy", Answer)
    sizes = [B // 8] * 8
    monkeypatch.setattr(HostCounts, "tolist", lambda self: sizes)
    # turns are drawn, and known, on the host
    monkeypatch.setattr(deepercluster, "rotate", lambda images, rotations: images)
    with FakeTensorMode(), torch.device("cuda"):
        algorithm = ALGORITHMS.build(METHODS[method])
        algorithm.cycle, algorithm._ready = 1, True
        algorithm.data_preprocessor._device = torch.device("cuda")
        batch = {
            "inputs": torch.zeros(B, 1, 32, 32, dtype=torch.uint8, device="cpu"),
            "sample_idx": torch.arange(B, device="cpu"),
        }
        data = algorithm.data_preprocessor(batch, True)
        losses = algorithm(**data, mode="loss")
        loss, scalars = algorithm.parse_losses(losses)
        assert loss.is_cuda and all(value.ndim == 0 for value in scalars.values())
        after_the_step(algorithm)


def test_the_check_finds_what_waits():
    with FakeTensorMode(), torch.device("cuda"):
        memory = ALGORITHMS.build(METHODS["ODC"]).memory
        with pytest.raises(AskedException):
            memory.dissolve_small_clusters(wait=True)
        with pytest.raises(DynamicOutputShapeException):
            memory.labels[memory.labels > 0]


def test_the_answer_is_that_of_the_call_before(monkeypatch):
    """A small cluster is found one call later on a GPU, at once with ``wait``, and on a CPU."""
    memory = ALGORITHMS.build(METHODS["ODC"]).memory
    rows = torch.randn(N, 8, generator=torch.Generator().manual_seed(0))
    memory.fill(rows, torch.arange(N) % K)

    class OnGpu(torch.Tensor):
        is_cuda = True

    def shrink():
        members = (memory.labels == 1).nonzero().flatten()
        memory.labels[members[2:]] = 0
        memory.recompute_sums()

    assert memory.dissolve_small_clusters(wait=False) == []
    shrink()
    assert [refill.cluster for refill in memory.dissolve_small_clusters(wait=False)] == [1]

    memory.counts = memory.counts.as_subclass(OnGpu)
    monkeypatch.setattr(odc_memory, "HostCopy", HostCopyOfNow)
    assert memory.dissolve_small_clusters(wait=False) == []
    shrink()
    assert memory.dissolve_small_clusters(wait=False) == []
    assert [refill.cluster for refill in memory.dissolve_small_clusters(wait=False)] == [1]
    assert memory.dissolve_small_clusters(wait=False) == []
    shrink()
    assert [refill.cluster for refill in memory.dissolve_small_clusters(wait=True)] == [1]


class HostCopyOfNow:
    def __init__(self, tensor):
        self.number = int(tensor)

    def read(self):
        return self.number


def test_a_copy_on_the_cpu():
    assert torch.equal(HostCopy(torch.tensor([3, 4])).read(), torch.tensor([3, 4]))


def test_the_norm_of_gradients_is_left_on_the_device():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    wrapper = DeferredNormOptimWrapper(
        optimizer=torch.optim.SGD([weight], lr=0.0), clip_grad={"max_norm": 1.0}
    )
    assert wrapper.take_scalars() == {}
    wrapper.update_params((weight**2 / 2).sum())
    found = wrapper.take_scalars()
    assert found["grad_norm"].item() == pytest.approx(5.0)
    assert wrapper.take_scalars() == {}


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_a_step_on_a_gpu_without_a_sync(method):
    algorithm = ALGORITHMS.build(METHODS[method]).to("cuda")
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N, algorithm.feature_dim, generator=generator)
    algorithm.recluster(rows, seed=0)
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=0.01, momentum=0.9)
    wrapper = DeferredNormOptimWrapper(optimizer=optimizer, clip_grad={"max_norm": 10.0})
    batch = {
        "inputs": torch.zeros(B, 1, 32, 32, dtype=torch.uint8).pin_memory(),
        "sample_idx": torch.arange(B).pin_memory(),
    }
    for _ in range(3):  # loads kernels, makes the state of the optimizer
        algorithm.train_step(batch, wrapper)
        after_the_step(algorithm)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            algorithm.train_step(batch, wrapper)
            after_the_step(algorithm)
    finally:
        torch.cuda.set_sync_debug_mode("default")
