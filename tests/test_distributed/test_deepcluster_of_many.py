"""DeepCluster on several processes: the clusters of one (R5, R8, R9), and training goes on."""

import json

import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from processes import run_processes

from mmdeepcluster.apis import train
from mmdeepcluster.engine import finalize, get_algorithm, load_algorithm, resolve_config
from mmdeepcluster.registry import ALGORITHMS

CONFIG = "configs/deepcluster/deepcluster_lenet5_digits.py"
OPTIONS = {
    "model.num_clusters": 20,
    "model.feature_transform.type": "PCAWhitening",
    "model.feature_transform.dim": 16,
    "train_cfg.max_epochs": 2,
    "train_dataloader.batch_size": 128,
    "train_dataloader.num_workers": 0,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 1,
}
N, K, D = 3000, 12, 84


def recluster(options):
    """Two clusterings of given features; labels, head and what is said of them."""
    torch.manual_seed(0)
    algorithm = ALGORITHMS.build(
        {
            "type": "DeepCluster",
            "num_samples": N,
            "num_clusters": K,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "ClusterHead"},
            "feature_transform": {"type": "PCAWhitening", "dim": 16},
            **options,
        }
    )
    said = []
    for cycle in range(2):
        features = torch.randn(N, D, generator=torch.Generator().manual_seed(cycle))
        share = algorithm.share_to_cluster
        result = algorithm.recluster(features[share.start : share.stop], seed=cycle)
        said.append((result.objective, result.num_iters))
    state = algorithm.cluster_state() if get_rank() == 0 else {}
    return {
        "labels": algorithm.labels(),
        "head": algorithm.head.fc.weight.detach(),
        "sample": algorithm.feature_sample(500, seed=3),
        "said": said,
        "state": sorted(state),
        "rows": len(share),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"warm_start": True, "head_start": "centroids"},
        # clustered by the main process alone
        {"clusterer": {"type": "PowerIterationClustering"}},
    ],
    ids=["together", "main"],
)
def test_clusters_do_not_depend_on_the_number_of_processes(options):
    alone, many = recluster(options), run_processes(recluster, 2, options)
    assert [found["rows"] for found in many] == [1024, 1976] and alone["rows"] == N
    for found in many:
        assert torch.equal(found["labels"], alone["labels"])
        assert torch.equal(found["head"], alone["head"])
        assert torch.equal(found["sample"], alone["sample"])
        assert found["said"] == alone["said"]
    assert many[0]["state"] == alone["state"]


def final(checkpoint):
    """Final figures, assigner and its answers, with all samples and with 500 for the figures."""
    found = []
    for max_samples in (2000, 500):
        resolved = resolve_config(CONFIG, OPTIONS | {"evaluation.max_samples": max_samples})
        algorithm = load_algorithm(resolved, checkpoint)
        result = finalize(resolved, algorithm)
        found.append((algorithm.assigner.state_dict(), result))
    return found


def training(folder):
    runner = train(CONFIG, work_dir=folder, launcher="pytorch", options=OPTIONS)
    algorithm = get_algorithm(runner)
    return {
        "final": final(f"{folder}/epoch_2.pth"),
        "labels": algorithm.labels(),
        "weights": {name: p.detach() for name, p in algorithm.named_parameters()},
        "length": len(runner.train_dataloader),
        "world_size": get_world_size(),
    }


def test_two_processes_train_and_one_goes_on(tmp_path):
    first, second = run_processes(training, 2, str(tmp_path))
    assert first["world_size"] == 2 and first["length"] == 6  # ceil(ceil(1437 / 2) / 128)
    assert torch.equal(first["labels"], second["labels"])
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name]), name
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["memory"]["num_empty"] == 0
    # R2, DESIGN 5: PCA, centroids, answers and figures are those of one process
    alone = final(tmp_path / "epoch_2.pth")
    assert alone[0][1].report.items() <= report.items()
    for (state, result), *others in zip(alone, first["final"], second["final"], strict=True):
        for other, _ in others:
            assert all(torch.equal(value, other[name]) for name, value in state.items())
        assert others[0][1].report == result.report and others[1][1] is None
        for left, right in zip(result.assignment, others[0][1].assignment, strict=True):
            assert torch.equal(left, right)
    options = OPTIONS | {"train_cfg.max_epochs": 3}
    runner = train(CONFIG, work_dir=tmp_path, resume=True, options=options)
    assert runner.epoch == 3 and get_algorithm(runner).cycle == 3
    # the labels that two processes had are those before the third clustering
    assert torch.equal(get_algorithm(runner).snapshot_labels()[0], first["labels"])
