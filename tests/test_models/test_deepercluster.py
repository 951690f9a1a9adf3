"""DeeperCluster: turns, targets, special cases, memory (R56, R57, R58, R59)."""

import math

import numpy as np
import pytest
import torch

from mmdeepcluster.models import DeepCluster, DeeperCluster
from mmdeepcluster.models.algorithms import memory_estimate
from mmdeepcluster.models.algorithms.head_group import HeadGroup
from mmdeepcluster.models.algorithms.memory_estimate import MemoryEstimate
from mmdeepcluster.models.algorithms.rotation import draw_rotations, rotate
from mmdeepcluster.registry import ALGORITHMS

N, K, M = 120, 6, 2


def build(**changes):
    torch.manual_seed(0)
    config = {
        "type": "DeeperCluster",
        "num_samples": N,
        "num_clusters": K,
        "num_super_clusters": M,
        "backbone": {"type": "LeNet5", "in_channels": 1},
        "neck": {"type": "AveragePoolNeck"},
        "head": {"type": "TwoLevelHead"},
    }
    return ALGORITHMS.build(config | changes)


def features(seed=0):
    return torch.randn(N, 84, generator=torch.Generator().manual_seed(seed))


class TestRotation:
    def test_turns_are_exact(self):
        """R56: the four rotations are those of np.rot90."""
        images = torch.randn(9, 3, 5, 5)
        rotations = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 1])
        turned = rotate(images, rotations)
        for image, turns, found in zip(images, rotations.tolist(), turned, strict=True):
            assert np.array_equal(np.rot90(image.numpy(), turns, axes=(1, 2)), found.numpy())

    @pytest.mark.parametrize("number", [4, 64, 63])
    def test_each_turn_is_as_frequent(self, number):
        torch.manual_seed(number)
        drawn = torch.stack([draw_rotations(number, 4) for _ in range(200)])
        counts = torch.stack([(drawn == turns).sum(dim=1) for turns in range(4)])
        assert int(counts.max() - counts.min()) <= 1
        # and no place of a batch has a turn of its own
        assert abs(float(drawn[:, 0].float().mean()) - 1.5) < 0.3

    def test_images_that_are_not_square_are_refused(self):
        images = torch.zeros(2, 3, 4, 6)
        assert rotate(images, torch.zeros(2, dtype=torch.int64)) is images
        with pytest.raises(ValueError, match=r"4x6 cannot be turned.*num_rotations=1"):
            rotate(images, torch.tensor([0, 1]))
        with pytest.raises(ValueError, match="cannot be turned"):
            build().check_images((3, 32, 40))
        build(num_rotations=1).check_images((3, 32, 40))


def test_loss_is_that_of_the_turned_images():
    algorithm = build().eval()
    images, index = torch.randn(16, 1, 32, 32), torch.arange(16)
    with pytest.raises(RuntimeError, match="EpochClusteringHook"):
        algorithm.loss(images, index)
    algorithm.recluster(features(), seed=0)
    torch.manual_seed(3)
    found = algorithm.loss(images, index)
    torch.manual_seed(3)
    rotations = draw_rotations(16, 4)
    inputs = rotate(images, rotations)
    seen = algorithm.extract(inputs, ("neck",))["neck"].clamp_min(0)
    labels = algorithm.labels()[:16]
    expected = algorithm.head(seen, algorithm.head.targets(rotations, labels))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-6)
    total = float((found["loss_super"] + found["loss_sub"]).detach())
    assert total == pytest.approx(math.log(4 * M) + math.log(K / M), rel=0.05)
    assert algorithm.chance_loss == pytest.approx(math.log(8) + math.log(3))


def test_cycle_writes_the_head_anew():
    """R58: both levels start anew."""
    algorithm = build()
    result = algorithm.recluster(features(), seed=0)
    assert {id(p) for p in result.rewritten} == {id(p) for p in algorithm.head.parameters()}
    first = [p.detach().clone() for p in algorithm.head.parameters()]
    algorithm.recluster(features(1), seed=1)
    changed = [
        not torch.equal(a, b) for a, b in zip(first, algorithm.head.parameters(), strict=True)
    ]
    assert changed == [True, False, True, False]  # weights; biases are zero again
    assert algorithm.cycle == 2
    state = algorithm.cluster_state()
    other = build()
    other.load_cluster_state(state)
    assert torch.equal(other.labels(), algorithm.labels()) and other.cycle == 2


def test_without_rotation_and_super_clusters_it_is_deepcluster():
    """R57: S = 1 reduces to DeepCluster: the same labels, loss and gradients."""
    deeper = build(num_rotations=1, num_super_clusters=1, clusterer={"type": "KMeans"})
    torch.manual_seed(0)
    plain = ALGORITHMS.build(
        {
            "type": "DeepCluster",
            "num_samples": N,
            "num_clusters": K,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "ClusterHead"},
        }
    )
    assert isinstance(plain, DeepCluster)
    for algorithm in (deeper, plain):
        algorithm.recluster(features(), seed=4)
    assert torch.equal(deeper.labels(), plain.labels())
    plain.backbone.load_state_dict(deeper.backbone.state_dict())
    with torch.no_grad():
        plain.head.fc.weight.copy_(deeper.head.sub_weight[0])
    images, index = torch.randn(20, 1, 32, 32), torch.arange(20)
    losses = [algorithm.loss(images, index) for algorithm in (deeper, plain)]
    assert losses[0].keys() == {"loss_sub"} and losses[1].keys() == {"loss"}
    for loss in (losses[0]["loss_sub"], losses[1]["loss"]):
        loss.backward()
    first, second = (float(loss.detach()) for found in losses for loss in found.values())
    assert first == pytest.approx(second, rel=1e-6)
    for mine, theirs in zip(deeper.backbone.parameters(), plain.backbone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_one_cluster_is_rotnet():
    """R57: k = 1, S = 4 reduces to RotNet."""
    algorithm = build(num_clusters=1, num_super_clusters=1)
    algorithm.recluster(features(), seed=0)
    assert algorithm.labels().tolist() == [0] * N
    losses = algorithm.loss(torch.randn(8, 1, 32, 32), torch.arange(8))
    assert losses.keys() == {"loss_super", "rotation_accuracy"}


def test_product_head_learns_pairs():
    """R56: the simple mode, with clusters of one level or of two."""
    algorithm = build(
        head={"type": "ProductHead"}, clusterer={"type": "KMeans"}, num_super_clusters=1
    )
    algorithm.recluster(features(), seed=0)
    losses = algorithm.loss(torch.randn(8, 1, 32, 32), torch.arange(8))
    assert losses.keys() == {"loss", "rotation_accuracy"}
    assert algorithm.head.fc.out_features == 4 * K
    assert build(head={"type": "ProductHead"}).clusterer.num_super_clusters == M


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_rotations": 2}, "num_rotations must be 1 or 4, got 2"),
        ({"clusterer": {"type": "KMeans"}}, r"KMeans makes one level .* TwoLevelKMeans"),
        ({"num_clusters": 7}, r"7.* must be a multiple"),
        ({"grouped": True}, "need a multiple of 8 processes, there are 1"),
        ({"grouped": True, "head": {"type": "ProductHead"}}, "needs model.head.type='TwoLevel"),
        ({"head": {"type": "NoSuchHead"}}, "no component 'NoSuchHead'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


class TestMemory:
    def test_estimate_by_hand(self):
        estimate = MemoryEstimate.of_training(
            network_weights=1000,
            head_weights=500,
            num_samples=100,
            feature_dim=8,
            clustered_dim=4,
            num_clusters=20,
            clusters_at_once=10,
            world_size=3,
        )
        # weight, gradient and momentum of 4 bytes; two vectors of int64; 34 rows a process
        assert (estimate.network, estimate.head, estimate.labels) == (12_000, 6_000, 1_600)
        assert estimate.clustering == 34 * 4 * 4 + 2 * 8 * 10 * 5 + 20 * 4 * 4
        assert estimate.features == 34 * 8 * 4
        assert estimate.device == 12_000 + 6_000 + 1_600 + estimate.clustering

    def test_paper_needs_groups(self):
        """Sixteen classifiers of 80,000 x 4096 are 21 GB, three times that in training (R59)."""
        sub = 16 * 80_000 * 4096
        assert 4 * sub == pytest.approx(21e9, rel=0.01)
        numbers = dict(
            network_weights=134_000_000,
            num_samples=95_920_149,
            feature_dim=4096,
            clustered_dim=4096,
            num_clusters=320_000,
            clusters_at_once=80_000,
            world_size=64,
        )
        alone = MemoryEstimate.of_training(head_weights=sub, **numbers)
        grouped = MemoryEstimate.of_training(head_weights=sub // 16, **numbers)
        assert alone.head == 16 * grouped.head and alone.head > 60e9
        assert grouped.device < 80e9 < alone.device

    def test_estimate_of_a_model_that_is_not_there(self):
        with torch.device("meta"):
            algorithm = build(num_samples=10**9, num_clusters=10**6, num_super_clusters=4)
        assert all(p.device.type == "meta" for p in algorithm.parameters())
        estimate = algorithm.memory_estimate(world_size=512)
        heads = 16 * 250_000 * (84 + 1) + 16 * (84 + 1)
        assert estimate.head == 12 * heads and estimate.labels == 16 * 10**9
        assert estimate.features == 4 * 84 * 1_953_125
        assert algorithm.clusters_at_once == 250_000

    def test_main_memory_is_shared_by_the_processes_of_a_machine(self, monkeypatch):
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        whole = memory_estimate.main_memory()
        assert whole > 1 << 28
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
        assert memory_estimate.main_memory() == whole // 4


def test_use_outside_of_training_is_not_grouped():
    assert DeeperCluster.config_to_use({"grouped": True, "a": 1}) == {"grouped": False, "a": 1}
    assert DeepCluster.config_to_use({"a": 1}) == {"a": 1}
    assert HeadGroup(1).reduce_gradient(torch.ones(2)).tolist() == [1.0, 1.0]
