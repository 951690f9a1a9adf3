"""Two ranks against one on the same global batches: loss, gradients and memory together."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from processes import run_processes
from torch import nn

from mmdeepcluster.clustering import Partition
from mmdeepcluster.models.backbones import ChainedBackbone
from mmdeepcluster.registry import ALGORITHMS, BACKBONES, SCOPE

N, K, STEPS = 240, 6, 200


@BACKBONES.register_module()
class PlainNet(ChainedBackbone):
    """No batch norm, whose statistics are those of a process on CPUs."""

    def __init__(self):
        super().__init__(1, {"out": 16}, out_indices=(0,))
        self.conv = nn.Conv2d(1, 16, 8)

    def run_stage(self, index, x):
        return self.conv(x).relu()


def build():
    init_default_scope(SCOPE)
    torch.manual_seed(0)
    return ALGORITHMS.build(
        dict(
            type="ODC",
            num_samples=N,
            num_clusters=K,
            backbone=dict(type="PlainNet"),
            neck=dict(type="AveragePoolNeck"),
            head=dict(type="ClusterHead"),
            memory=dict(type="ODCMemory", min_cluster_size=30),
        )
    )


def train():
    """Labels after each step, and the weights at the end."""
    rank, world_size = get_rank(), get_world_size()
    algorithm = build()
    algorithm.shard(Partition(N, seed=1, rank=rank, world_size=world_size))
    generator = torch.Generator().manual_seed(2)
    kinds = torch.arange(N) % 12
    images = torch.randn(12, 1, 8, 8, generator=generator)[kinds]
    images += 0.7 * torch.randn(N, 1, 8, 8, generator=generator)
    algorithm.recluster(_features(algorithm, images, rank), seed=0)
    model = algorithm
    if world_size > 1:
        own = [name for name, _ in algorithm.memory.named_buffers("memory")]
        MMDistributedDataParallel._set_params_and_buffers_to_ignore_for_model(algorithm, own)
        model = MMDistributedDataParallel(algorithm)
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=0.03, momentum=0.9)
    # Global batches: 12 samples of each of two shares, whatever the number of processes.
    shares = [Partition(N, seed=1, rank=r, world_size=2).owned for r in range(2)]
    labels = []
    for step in range(STEPS):
        order = torch.Generator().manual_seed(step)
        halves = [share[torch.randperm(N // 2, generator=order)[:12]] for share in shares]
        batch = torch.cat(halves) if world_size == 1 else halves[rank]
        optimizer.zero_grad()
        model(images[batch], batch, mode="loss")["loss"].backward()
        optimizer.step()
        algorithm.update_memory()
        if step % 10 == 9:
            algorithm.refresh_centroids()
        algorithm.balance_clusters()
        labels.append(algorithm.labels().tolist())
    weights = torch.cat([p.detach().flatten().double() for p in algorithm.parameters()])
    return {
        "labels": labels,
        "weights": weights.tolist(),
        "refills": int(algorithm.memory.num_refills),
    }


def _features(algorithm, images, rank):
    with torch.no_grad():
        features = algorithm(images, mode="tensor")
    return features if rank == 0 else features[algorithm.partition.owned]


def test_same_labels_after_200_iterations():
    # R42 to R46, DESIGN 5: the weighted loss is that of the global batch. Sums of gradients round
    # in another order, here to 1e-7, which never reached a decision. (At ten times this rate the
    # training is chaotic, and labels differ from about the hundredth iteration on.)
    one = train()
    assert one["refills"] >= 5 and one["labels"][0] != one["labels"][-1]
    for found in run_processes(train, 2):
        difference = torch.tensor(found["weights"]) - torch.tensor(one["weights"])
        assert difference.abs().max() < 1e-5
        assert found["refills"] == one["refills"]
        assert found["labels"] == one["labels"]
