"""R52, R53: sweeps of ODC are complete, and can be run as they stand."""

from pathlib import Path

import pytest

from mmdeepcluster.apis import load_sweep
from mmdeepcluster.datasets import long_tail_sizes
from mmdeepcluster.engine import load_config, resolve_config

SWEEPS = Path(__file__).parents[2] / "configs" / "odc" / "ablations" / "sweeps"
RUNS = {
    "centroid_interval_cifar10": 3,
    "centroid_interval_in300": 5,
    "long_tail_cifar10": 4,
    "long_tail_in300": 6,
    "min_cluster_size_cifar10": 5,
    "min_cluster_size_in300": 6,
}
LARGEST_CLASS = {"cifar10": 5000, "in300": 1300}
NUM_IMAGES = {"odc_convnet_cifar10": 50_000}


def test_there_are_sweeps():
    assert {path.stem for path in SWEEPS.iterdir()} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_is_possible(name, tmp_path):
    plan = load_sweep(SWEEPS / f"{name}.yaml")
    assert len(plan.runs) == RUNS[name] * len(plan.seeds)
    for run in plan.runs[:: len(plan.seeds)]:
        path = tmp_path / f"{run.name}.py"
        path.write_text(plan.config_text(run))
        cfg = load_config(path)
        number = cfg.dataset.get("num_images") or NUM_IMAGES[plan.config.stem]
        size = cfg.model.memory.min_cluster_size
        assert size == "auto" or size * cfg.model.num_clusters <= number
        if "ratio" in cfg.dataset:
            sizes = long_tail_sizes(cfg.dataset.num_classes, number, cfg.dataset.ratio)
            assert sizes[0] <= LARGEST_CLASS[name.split("_")[-1]]
        if run.name not in (plan.runs[0].name, plan.runs[-len(plan.seeds)].name):
            continue
        # the digits stand in for the real set: keys and values are checked, not the images
        digits = {"dataset": {"_delete_": True, "type": "Digits"}, "model.num_clusters": 5}
        resolved = resolve_config(path, digits)
        memory = resolved.cfg.model.memory
        for key, value in run.settings.items():
            if key.startswith("model.memory."):
                assert memory[key.rpartition(".")[2]] == value
