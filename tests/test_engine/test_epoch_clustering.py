"""When DeepCluster clusters and halts; interrupted is uninterrupted (R1, R7, R9, R12, R13, R14)."""

import json
import multiprocessing
import signal
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest_engine import CONFIGS, FAST
from mmengine.hooks import Hook
from test_resume import assert_same, interrupt_training

from mmdeepcluster.apis import train
from mmdeepcluster.engine import ConfigError, get_algorithm
from mmdeepcluster.engine.hooks.epoch_clustering_hook import EpochClusteringHook
from mmdeepcluster.registry import HOOKS

DIGITS = CONFIGS / "deepcluster" / "deepcluster_lenet5_digits.py"
OPTIONS = {k: v for k, v in FAST.items() if "clustering" not in k} | {"model.num_clusters": 20}


@HOOKS.register_module()
class Observer(Hook):
    """Keeps what a cycle starts with and which labels each iteration learned."""

    priority = "LOWEST"
    seen: list = []
    wrong = 0

    def before_train(self, runner):
        type(self).seen, type(self).wrong = [], 0

    def before_train_epoch(self, runner):
        algorithm = get_algorithm(runner)
        state = runner.optim_wrapper.optimizer.state
        self.seen.append(
            {
                "labels": algorithm.labels(),
                "head": algorithm.head.fc.weight.detach().clone(),
                "head_has_state": any(bool(state.get(p)) for p in algorithm.head.parameters()),
                "momenta": sum("momentum_buffer" in s for s in state.values()),
            }
        )


def run(work_dir, resume=False, **options):
    observer = {"custom_hooks": [{"type": "Observer"}]}
    return train(DIGITS, work_dir=work_dir, resume=resume, options=OPTIONS | observer | options)


def passes(runner):
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EpochClusteringHook)]
    return hook.num_feature_passes


def scalars(work_dir, key):
    found = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in map(json.loads, path.read_text().splitlines()):
            if key in line:
                found[line["step"]] = line[key]
    return found


@pytest.mark.parametrize(("interval", "expected"), [(1, 4), (3, 2)])
def test_cycles_and_epochs(tmp_path, interval, expected):
    options = {"train_cfg.max_epochs": 4, "default_hooks.clustering.interval": interval}
    runner = run(tmp_path, **options)
    assert passes(runner) == get_algorithm(runner).cycle == expected
    objectives = scalars(tmp_path, "cycle/objective")
    assert sorted(objectives) == list(range(1, 5, interval))  # R1: epochs 0, T, 2 T, ...
    assert len(scalars(tmp_path, "cycle/seconds_train")) == 4
    for phase in ("extract", "PCA", "k-means", "assign"):
        assert len(scalars(tmp_path, f"cycle/seconds_{phase}")) == expected  # R14
    assert sorted(scalars(tmp_path, "epoch/nmi_previous")) == list(range(interval + 1, 5))
    labels = np.load(tmp_path / "labels_epoch_4.npy")
    assert np.array_equal(labels, get_algorithm(runner).labels().numpy())


def test_a_cycle_starts_with_a_new_head(tmp_path):
    runner = run(tmp_path, **{"train_cfg.max_epochs": 3})
    first, second, third = Observer.seen
    assert not torch.equal(second["head"], third["head"])
    assert abs(float(third["head"].std()) - 0.01) < 1e-3
    # R9: the head has nothing of the cycle before, the backbone keeps its momentum
    assert not any(epoch["head_has_state"] for epoch in Observer.seen)
    others = [n for n, _ in get_algorithm(runner).named_parameters() if not n.startswith("head")]
    assert [epoch["momenta"] for epoch in Observer.seen] == [0, len(others), len(others)]
    assert not torch.equal(first["labels"], second["labels"])


class TestHalting:
    def test_after_three_of_six(self, tmp_path):
        options = {"train_cfg.max_epochs": 6, "default_hooks.clustering.halt_after": 3}
        runner = run(tmp_path, **options)
        assert passes(runner) == 3 and get_algorithm(runner).cycle == 6
        labels = [epoch["labels"] for epoch in Observer.seen]
        assert not torch.equal(labels[1], labels[2])
        assert all(torch.equal(labels[2], later) for later in labels[3:])
        heads = [epoch["head"].flatten() for epoch in Observer.seen]
        likeness = [float(torch.cosine_similarity(*pair, dim=0)) for pair in pairwise(heads)]
        assert max(likeness[:2]) < 0.2 and min(likeness[2:]) > 0.8  # it goes on learning
        assert sorted(scalars(tmp_path, "cycle/seconds_extract")) == [1, 2, 3]
        assert runner.hook_state["clustering"]["halted_at"] == 3

    def test_head_starts_anew_where_asked(self, tmp_path):
        options = {
            "train_cfg.max_epochs": 2,
            "default_hooks.clustering.halt_after": 1,
            "default_hooks.clustering.reset_head_when_halted": True,
        }
        assert passes(run(tmp_path, **options)) == 1
        assert [abs(float(e["head"].std()) - 0.01) < 1e-3 for e in Observer.seen] == [True] * 2

    def test_on_a_plateau_by_hand(self):
        hook = EpochClusteringHook([], halt_patience=2, halt_min_rise=0.1)
        nmi = [0.2, 0.5, 0.55, 0.58]
        # best before the last two is 0.5; neither is above it by 0.1
        assert [hook._is_settled(nmi[:n], n + 1) for n in range(5)] == [False] * 4 + [True]
        assert not hook._is_settled([0.2, 0.5, 0.55, 0.61], 5)

    def test_on_a_plateau_in_a_run(self, tmp_path):
        options = {
            "train_cfg.max_epochs": 4,
            "default_hooks.clustering.halt_patience": 1,
            "default_hooks.clustering.halt_min_rise": 1.0,  # no rise is enough
        }
        # NMI values exist for cycles 1 and 2; with both known, cycle 3 is the first to halt
        assert passes(run(tmp_path, **options)) == 3


def test_labels_of_two_persistent_workers_are_those_of_the_cycle(tmp_path, monkeypatch):
    # R7: the peer learned the labels of the first epoch for ever
    from mmdeepcluster.models import DeepCluster

    learned = []
    loss_of = DeepCluster.loss

    def loss(self, inputs, sample_idx):
        learned.append((self.cycle, sample_idx.clone(), self.label_bank.lookup(sample_idx)))
        return loss_of(self, inputs, sample_idx)

    monkeypatch.setattr(DeepCluster, "loss", loss)
    run(tmp_path, **{"train_cfg.max_epochs": 3, "train_dataloader.num_workers": 2})
    by_cycle = [epoch["labels"] for epoch in Observer.seen]
    assert [cycle for cycle, _, _ in learned] == [c for c in (1, 2, 3) for _ in range(6)]
    for cycle, samples, targets in learned:
        assert torch.equal(targets, by_cycle[cycle - 1][samples])


RESUMED = {"train_cfg.max_epochs": 4, "default_hooks.clustering.halt_after": 3}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return run(tmp_path_factory.mktemp("straight"), **RESUMED)


@pytest.mark.parametrize(("iteration", "workers"), [(9, 0), (11, 2)])
def test_resume_across_a_clustering(straight, tmp_path, iteration, workers):
    # iteration 9 is inside the second epoch, 11 is its last one: a clustering follows
    options = RESUMED | {"train_dataloader.num_workers": workers}
    interrupt_training(run, tmp_path, iteration, signal.SIGTERM, **options)
    resumed = run(tmp_path, resume=True, **options)
    assert_same(straight, resumed)
    assert resumed.hook_state["clustering"] == straight.hook_state["clustering"]


def test_resume_at_the_end_of_an_epoch(straight, tmp_path):
    run(tmp_path, **RESUMED | {"train_cfg.max_epochs": 2})
    assert_same(straight, run(tmp_path, resume=True, **RESUMED))


def test_without_faiss(tmp_path, monkeypatch):
    # R15: nothing but FaissKMeans needs it
    monkeypatch.setitem(sys.modules, "faiss", None)
    runner = run(tmp_path, **{"train_cfg.max_epochs": 1})
    assert (tmp_path / "samples.csv").exists() and get_algorithm(runner).cycle == 1
    with pytest.raises(ConfigError, match=r"pip install mmdeepcluster\[faiss\]"):
        run(tmp_path, **{"model.clusterer.type": "FaissKMeans"})


def test_hook_and_method_must_fit(tmp_path):
    odc = CONFIGS / "odc" / "odc_lenet5_digits.py"
    sampler = {"train_dataloader.sampler.type": "UniformClusterSampler"}
    with pytest.raises(
        ConfigError, match=r"train_dataloader.sampler: ODC .* UniformClusterSampler"
    ):
        train(odc, work_dir=tmp_path, options=FAST | sampler)
    with pytest.raises(ConfigError, match=r"train_dataloader.sampler.mood: unknown key .*'mode'"):
        train(DIGITS, work_dir=tmp_path, options={"train_dataloader.sampler.mood": "official"})
    with pytest.raises(ConfigError, match=r"default_hooks.clustering.interval must be >= 1, got 0"):
        run(tmp_path, **{"default_hooks.clustering.interval": 0})


@HOOKS.register_module()
class NoteChildren(Hook):
    """Notes the data workers at the end of each epoch."""

    seen: list = []

    def after_train_epoch(self, runner):
        type(self).seen = multiprocessing.active_children()


def test_no_data_worker_outlives_its_training(tmp_path):
    # left to the garbage collector each would be waited for five seconds, at any moment later
    before = set(multiprocessing.active_children())
    options = {
        "train_dataloader.num_workers": 1,
        "eval_dataloader.num_workers": 1,
        "eval_dataloader.in_memory_limit": 0,
    }
    run(tmp_path / "whole", custom_hooks=[{"type": "NoteChildren"}], **options)
    assert len(set(NoteChildren.seen) - before) == 2
    assert set(multiprocessing.active_children()) <= before
    interrupt_training(run, tmp_path / "parts", 9, signal.SIGTERM, **options)
    assert set(multiprocessing.active_children()) <= before
