"""Trainings of several gloo processes: exact and elastic resume, extraction, one loss."""

import json
import os
import signal

import pytest
import torch
from conftest_engine import DIGITS, FAST
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from processes import run_processes

from mmdeepcluster.apis import evaluate, train
from mmdeepcluster.clustering import RowShare
from mmdeepcluster.engine import (
    TrainingError,
    TrainingInterruptedError,
    get_algorithm,
    read_checkpoint,
    resolve_config,
)
from mmdeepcluster.engine.build import eval_loader
from mmdeepcluster.models import extract
from mmdeepcluster.registry import ALGORITHMS, HOOKS, SCOPE

OPTIONS = FAST | {
    "train_cfg.max_epochs": 4,
    "train_dataloader.batch_size": 128,
    "model.neck.dropout": 0.5,
    "eval_dataloader.batch_size": 100,
}


@HOOKS.register_module()
class SignalOneRank(Hook):
    """Sends a signal to the second process alone."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def run(work_dir, resume=False, **options):
    return train(DIGITS, work_dir=work_dir, resume=resume, options=OPTIONS | options)


def state(runner):
    """Weights of this rank and, on the main one, cluster state of all."""
    algorithm = get_algorithm(runner)
    return {
        "weights": {name: value.clone() for name, value in algorithm.named_parameters()},
        "clusters": algorithm.cluster_state(),
        "labels": algorithm.labels(),
    }


def same(first, second):
    return (
        all(torch.equal(v, second["weights"][k]) for k, v in first["weights"].items())
        and all(torch.equal(v, second["clusters"][k]) for k, v in first["clusters"].items())
        and torch.equal(first["labels"], second["labels"])
    )


def build():
    resolved = resolve_config(DIGITS, FAST | {"eval_dataloader.batch_size": 100})
    init_default_scope(SCOPE)
    torch.manual_seed(0)
    model = dict(resolved.cfg.model.to_dict(), data_preprocessor=resolved.cfg.data_preprocessor)
    return resolved, ALGORITHMS.build(model)


def extraction():
    resolved, algorithm = build()
    if get_rank():
        algorithm.neck.bn0.running_mean += 1.0  # only the main process's statistics count
    loader = eval_loader(resolved, resolved.dataset)
    everything = extract(algorithm, loader, ("neck", "backbone"))
    some = extract(algorithm, loader, keep=torch.tensor([3, 77, 1436]))["neck"]
    few = eval_loader(resolved, resolved.dataset, [5, 9])  # fewer batches than processes
    share = RowShare.of_this_process(len(resolved.dataset))
    own = extract(algorithm, loader, ("neck", "backbone"), share=share)
    return {
        "neck": everything["neck"],
        "backbone": everything["backbone"],
        "some": some,
        "few": extract(algorithm, few)["neck"],
        "own": share.gather(own["neck"]),
        "own backbone": share.gather(own["backbone"]),
    }


def failed_extraction():
    """What a rank says when the last image, which is the second one's, cannot be read."""
    resolved, algorithm = build()
    dataset = resolved.dataset
    load = dataset.load_image

    def fail(index):
        if index == len(dataset) - 1:
            raise OSError("the disk is gone")
        return load(index)

    dataset.load_image = fail
    share = RowShare.of_this_process(len(dataset))
    try:
        extract(algorithm, eval_loader(resolved, dataset), share=share)
    except (OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def trainings(folder):
    """What a rank sees of a whole training, and of one that was interrupted twice."""
    found = {"features": extraction(), "failed": failed_extraction()}
    straight = run(folder / "straight")
    whole = state(straight)
    hook = {"custom_hooks": [{"type": "SignalOneRank", "iteration": 8}]}
    try:
        run(folder / "parts", **hook)
    except TrainingInterruptedError as reason:
        found["stopped"] = str(reason)
    found["same after a signal"] = same(whole, state(run(folder / "parts", resume=True)))
    run(folder / "epochs", **{"train_cfg.max_epochs": 2})
    found["same after an epoch"] = same(whole, state(run(folder / "epochs", resume=True)))
    found["weights"] = {name: value.tolist() for name, value in whole["weights"].items()}
    found["counts"] = get_algorithm(straight).cluster_counts.tolist()
    found["bincount"] = torch.bincount(whole["labels"], minlength=50).tolist()
    found["scores"] = evaluate(DIGITS, folder / "straight" / "epoch_4.pth", options=OPTIONS)
    try:
        run(folder / "diverged", **{"optim_wrapper.optimizer.lr": 1e9})
    except TrainingError as error:
        found["diverged"] = str(error)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def ranks(folder):
    return run_processes(trainings, 2, folder)


def losses(work_dir):
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob("*/vis_data/scalars.json"))
        for line in path.read_text().splitlines()
    ]
    return [(line["step"], line["loss"], line["change_ratio"]) for line in lines if "loss" in line]


def test_resumed_equals_uninterrupted(ranks, folder):
    # R13 on two processes, with a signal that one of them got
    for found in ranks:
        assert "stopped by SIGTERM" in found["stopped"] and "iter_9.pth" in found["stopped"]
        assert found["same after a signal"] and found["same after an epoch"]
    assert losses(folder / "parts") == losses(folder / "straight")


def test_ranks_agree(ranks):
    for key in ("weights", "counts", "scores"):
        assert ranks[0][key] == ranks[1][key], key
    assert ranks[0]["bincount"] == ranks[0]["counts"]


def test_an_unreadable_image_ends_all_of_them(ranks):
    # nothing is sent while features are extracted; what went wrong is, at the end
    assert "OSError: cannot read" in ranks[1]["failed"]
    assert ranks[0]["failed"].startswith("RuntimeError: process 1 cannot extract its features: ")
    assert ranks[0]["failed"].endswith("the disk is gone")


def test_divergence_ends_all_of_them(ranks):
    assert all("training diverged by iteration" in found["diverged"] for found in ranks)


def test_first_loss_is_about_log_k(ranks, folder):
    # P1, R45: the loss is divided by the weights of the global batch
    first = losses(folder / "straight")[0][1]
    assert first == pytest.approx(torch.log(torch.tensor(50.0)).item(), rel=0.02)


def test_report_is_that_of_the_main_process(ranks, folder):
    report = json.loads((folder / "straight" / "report.json").read_text())
    assert ranks[1]["scores"]["knn"] == report["knn"]
    assert ranks[1]["scores"]["memory"] == report["memory"]


def elastic(folder):
    """Continues what another number of processes saved; the bank right after loading."""
    loaded = {}

    @HOOKS.register_module(force=True)
    class KeepBank(Hook):
        priority = "HIGHEST"

        def before_train(self, runner):
            loaded.update(get_algorithm(runner).cluster_state())

    options = {"train_cfg.max_epochs": 3, "custom_hooks": [{"type": "KeepBank"}]}
    path = folder / "epochs" / "epoch_2.pth"
    runner = train(
        DIGITS,
        work_dir=folder / f"elastic_{get_world_size()}",
        resume=path,
        options=OPTIONS | options,
    )
    return {"bank": loaded, "epoch": runner.epoch, "features": extraction()}


@pytest.fixture(scope="module", params=[1, 3])
def others(request, ranks, folder):
    """What one and three processes made of a checkpoint of two."""
    if request.param == 1:
        return [elastic(folder)]
    return run_processes(elastic, request.param, folder)


def test_saved_by_two_continued_by_any_number(others, folder):
    # R13, elastic: the same bank, and training goes on
    saved = read_checkpoint(folder / "epochs" / "epoch_2.pth")["cluster_state"]
    assert all(found["epoch"] == 3 for found in others)
    for name in ("labels", "prev_labels", "features", "centroids", "sums", "counts"):
        assert torch.equal(others[0]["bank"][name], saved[name]), name
    logs = [path.read_text() for path in folder.glob(f"elastic_{len(others)}/*/*.log")]
    assert f"world_size 2 -> {len(others)}" in logs[0] and "at the start of epoch 3" in logs[0]


def test_features_do_not_depend_on_the_number_of_processes(ranks, others):
    # R2: N is divisible neither by the batch nor by the processes
    one = extraction()
    for found in [*ranks, *others]:
        for name, features in one.items():
            assert torch.equal(features, found["features"][name]), name
    assert torch.equal(one["some"], one["neck"][[3, 77, 1436]])
    assert one["few"].shape == (2, 256)
    # a share of three processes is empty, borders of others are inside a batch
    assert torch.equal(one["own"], one["neck"])
    assert torch.equal(one["own backbone"], one["backbone"])
