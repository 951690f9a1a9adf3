"""DeeperCluster in groups of processes: the loss, gradients and checkpoints of one (R57, R59)."""

import json

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank
from PIL import Image
from processes import run_processes

from mmdeepcluster.apis import train
from mmdeepcluster.engine import ConfigError, get_algorithm, read_checkpoint
from mmdeepcluster.models.algorithms.rotation import rotate
from mmdeepcluster.registry import ALGORITHMS

CONFIG = "configs/deepercluster/deepercluster_convnet_photos.py"
N, K, M, R, B = 4096, 8, 2, 4, 6
OPTIONS = {
    "train_cfg.max_epochs": 2,
    "train_dataloader.num_workers": 0,
    "eval_dataloader.num_workers": 0,
    "default_hooks.clustering.interval": 1,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 1,
    "model.num_clusters": K,
    "model.num_super_clusters": M,
    "model.feature_transform.dim": 8,
    "model.backbone.widths": [4, 8, 8, 8, 16],
}


def build(grouped):
    torch.manual_seed(0)
    algorithm = ALGORITHMS.build(
        {
            "type": "DeeperCluster",
            "num_samples": N,
            "num_clusters": K,
            "num_super_clusters": M,
            "grouped": grouped,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "TwoLevelHead"},
        }
    )
    algorithm.label_bank.assign_all(torch.arange(N) % K)
    algorithm.cycle = 1
    algorithm.reset_head(3)
    # Statistics of a batch would depend on how it is dealt.
    return algorithm.eval()


def batch(super_class):
    """Images of one super-class, with their samples and turns."""
    generator = torch.Generator().manual_seed(super_class)
    rotations = torch.full((B,), super_class // M)
    clusters = super_class % M * (K // M) + torch.randint(K // M, (B,), generator=generator)
    samples = clusters + K * torch.randint(N // K, (B,), generator=generator)
    return torch.randn(B, 1, 32, 32, generator=generator), samples, rotations


def recluster():
    """Labels of two clusterings of given features, and what is said of them."""
    torch.manual_seed(0)
    algorithm = ALGORITHMS.build(
        {
            "type": "DeeperCluster",
            "num_samples": N,
            "num_clusters": 24,
            "num_super_clusters": 3,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "TwoLevelHead"},
            "feature_transform": {"type": "PCAWhitening", "dim": 16},
        }
    )
    found = []
    for cycle in range(2):
        features = torch.randn(N, 84, generator=torch.Generator().manual_seed(cycle))
        own = features[algorithm.share_to_cluster.indices]
        result = algorithm.recluster(own, seed=cycle)
        found.append((algorithm.labels(), result.objective, result.num_iters))
    return found


def test_labels_of_1_2_and_4_processes_are_the_same():
    """Must show: the same two-level labels, after the same whitening."""
    alone = recluster()
    assert sorted(alone[0][0].unique().tolist()) == list(range(24))
    for world_size in (2, 4):
        for found in run_processes(recluster, world_size):
            for (labels, *said), (expected, *known) in zip(found, alone, strict=True):
                assert torch.equal(labels, expected)
                assert said == known


def grouped_step():
    """Loss of this process's super-class, and gradients as an optimizer would see them."""
    algorithm = build(grouped=True)
    group = algorithm.head_group
    images, samples, _ = batch(group.super_class)
    losses = algorithm.loss(images, samples)  # turns them itself
    sum(v for k, v in losses.items() if "loss" in k).backward()
    shared = [p.grad.clone() for p in algorithm.backbone.parameters()]
    return {
        "losses": {k: float(v.detach()) for k, v in losses.items()},
        "shared": shared,
        "sub": algorithm.head.sub_weight.grad.clone(),
        "super": algorithm.head.super_fc.weight.grad.clone(),
        "draws": algorithm.draw_group,
        "parts": {n: p.shape for n, p in algorithm.partial_parameters().items()},
        "gathered": group.gather_on_main(algorithm.head.sub_weight.detach()),
        "super_class": group.super_class,
    }


def test_loss_and_gradients_of_eight_processes_are_those_of_one():
    """Must show: grouped, 8 processes, m = 2, against the default mode on the same batch."""
    found = run_processes(grouped_step, R * M)
    alone = build(grouped=False)
    parts = [batch(number) for number in range(R * M)]
    images, samples, rotations = (torch.cat(p) for p in zip(*parts, strict=True))
    losses = alone.loss_of_turned(rotate(images, rotations), samples, rotations)
    sum(v for k, v in losses.items() if "loss" in k).backward()
    for name, value in losses.items():
        mean = sum(f["losses"][name] for f in found) / len(found)
        assert mean == pytest.approx(float(value.detach()), abs=1e-5)
    # DDP averages the shared gradients; those of the parts were reduced by their own hook
    for number, parameter in enumerate(alone.backbone.parameters()):
        mean = torch.stack([f["shared"][number] for f in found]).mean(dim=0)
        torch.testing.assert_close(mean, parameter.grad, rtol=1e-4, atol=1e-6)
    mean = torch.stack([f["super"] for f in found]).mean(dim=0)
    torch.testing.assert_close(mean, alone.head.super_fc.weight.grad, rtol=1e-4, atol=1e-7)
    for number, f in enumerate(found):
        assert f["super_class"] == number
        expected = alone.head.sub_weight.grad[number]
        torch.testing.assert_close(f["sub"][0], expected, rtol=1e-4, atol=1e-7)
        clusters, rank, size, stream = f["draws"]
        half = K // M
        assert clusters == range(number % M * half, (number % M + 1) * half)
        assert (rank, size, stream) == (0, 1, number)
        assert set(f["parts"]) == {"head.sub_weight", "head.sub_bias"}
    assert torch.equal(found[0]["gathered"], alone.head.sub_weight.detach())
    assert all(f["gathered"] is None for f in found[1:])


def two_in_a_group():
    """Gradient of a part that two processes hold, after two backward passes."""
    torch.manual_seed(0)
    algorithm = ALGORITHMS.build(
        {
            "type": "DeeperCluster",
            "num_samples": N,
            "num_clusters": 4,
            "num_super_clusters": 1,
            "num_rotations": 1,
            "grouped": True,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "TwoLevelHead"},
        }
    )
    algorithm.head_group.join()
    features = torch.randn(2, B, 84, generator=torch.Generator().manual_seed(get_rank()))
    labels = torch.zeros(B, dtype=torch.int64)
    for rows in features:
        targets = algorithm.head.targets(labels, labels)
        algorithm.head(rows, targets)["loss_sub"].backward()
    return features, algorithm.head.sub_weight.grad, algorithm.head.sub_weight.detach()


def test_processes_of_a_group_share_gradients_also_when_they_add_up():
    found = run_processes(two_in_a_group, 2)
    assert torch.equal(found[0][1], found[1][1])
    weight = found[0][2][0].clone().requires_grad_()
    for features, _, _ in found:
        for rows in features:
            loss = torch.nn.functional.cross_entropy(
                rows @ weight.T, torch.zeros(B, dtype=torch.int64)
            )
            (loss / len(found)).backward()
    torch.testing.assert_close(found[0][1][0], weight.grad)


def train_grouped(folder, work_dir, options, resume, launcher="pytorch"):
    """A training on several processes; what it ends with, or why it did not begin."""
    options = OPTIONS | {"data_root": folder, "model.grouped": True} | options
    try:
        runner = train(CONFIG, work_dir=work_dir, options=options, launcher=launcher, resume=resume)
    except ConfigError as error:
        return str(error)
    algorithm = get_algorithm(runner)
    drawn = torch.tensor([draw.index for draw in runner.train_dataloader.batch_sampler.sampler])
    return {
        "weights": {name: p.detach().clone() for name, p in algorithm.named_parameters()},
        "supers": (algorithm.labels()[drawn] // (K // 2)).unique().tolist(),
        "epochs": runner.epoch,
    }


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(80):
        pixels = rng.integers(0, 80, (64, 64, 3)) + 60 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.jpg")
    return str(folder)


SWITCHES = {
    "channels_last": True,
    "compile.backend": "aot_eager",
    "optim_wrapper.optimizer.fused": True,
}


@pytest.mark.parametrize("switches", [{}, pytest.param(SWITCHES, marks=pytest.mark.slow)])
def test_training_in_groups_and_its_checkpoints(photos, tmp_path, switches):
    """Four processes, one for each of S = 4 x 1 super-classes; resumed, and resumed by one."""
    options = {"model.num_super_clusters": 1, **switches}
    whole = run_processes(train_grouped, 4, photos, str(tmp_path / "whole"), options, False)
    half = tmp_path / "half"
    run_processes(train_grouped, 4, photos, str(half), options | {"train_cfg.max_epochs": 1}, False)
    again = run_processes(train_grouped, 4, photos, str(half), options, True)
    for first, second in zip(whole, again, strict=True):
        for name, value in first["weights"].items():
            assert torch.equal(value, second["weights"][name]), name
    # what they share is the same, and each holds its own part
    name = "head.sub_weight"
    for other in whole[1:]:
        for key, value in whole[0]["weights"].items():
            assert torch.equal(value, other["weights"][key]) != key.startswith("head.sub_"), key
    saved = read_checkpoint(tmp_path / "whole" / "epoch_2.pth")
    assert torch.equal(saved["state_dict"][name], torch.cat([w["weights"][name] for w in whole]))
    momenta = [entry["momentum_buffer"].shape for entry in saved["optimizer"]["state"].values()]
    assert saved["state_dict"][name].shape in momenta
    # one process goes on with all parts
    runner = train(
        CONFIG,
        work_dir=half,
        resume=True,
        options=OPTIONS | options | {"data_root": photos, "train_cfg.max_epochs": 3},
    )
    assert runner.epoch == 3 and get_algorithm(runner).head.sub_weight.shape[0] == 4
    report = json.loads((half / "report.json").read_text())
    assert report["memory"]["num_empty"] == 0


def test_super_clusters_are_dealt_and_wrong_numbers_refused(photos, tmp_path):
    """R59: two super-clusters without rotation on two processes; three processes do not fit."""
    options = {"model.num_rotations": 1}
    found = run_processes(train_grouped, 2, photos, str(tmp_path / "two"), options, False)
    assert [f["supers"] for f in found] == [[0], [1]]
    refused = run_processes(train_grouped, 3, photos, str(tmp_path / "three"), options, False)
    assert all("need a multiple of 2 processes, there are 3" in text for text in refused)


def test_absent_super_classes_stall_nobody(photos, tmp_path):
    """Every process holds all classifiers, and batches of three images miss most of the eight."""
    options = {"model.grouped": False, "train_dataloader.batch_size": 3}
    options |= {"train_cfg.max_epochs": 1}
    first, second = run_processes(train_grouped, 2, photos, str(tmp_path), options, False)
    assert first["epochs"] == 1 and first["weights"]["head.sub_weight"].shape[0] == R * M
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optim_wrapper.clip_grad": {"max_norm": 1.0}}, "optim_wrapper.clip_grad"),
        ({"optim_wrapper.type": "AmpOptimWrapper"}, "BFloat16OptimWrapper"),
        ({"train_dataloader.sampler": None}, "needs UniformClusterSampler"),
    ],
)
def test_what_would_part_the_processes_is_refused(options, message, photos, tmp_path):
    # one super-class is a group of one process
    options = {"model.num_rotations": 1, "model.num_super_clusters": 1} | options
    text = train_grouped(photos, str(tmp_path), options, False, launcher="none")
    assert message in text
