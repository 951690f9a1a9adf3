"""Whole trainings on the bundled digits: what is logged, saved, reported, and resumed."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest_engine import DIGITS, FAST

from mmdeepcluster.apis import evaluate, train
from mmdeepcluster.clustering import Assigner
from mmdeepcluster.engine import ConfigError, TrainingError, get_algorithm, read_checkpoint


def run(work_dir, resume=False, **options):
    return train(DIGITS, work_dir=work_dir, resume=resume, options=FAST | options)


def scalars(work_dir):
    """Lines of all scalars.json of a work dir, oldest start first."""
    paths = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished training of two epochs, shared by the tests that only look."""
    work_dir = tmp_path_factory.mktemp("finished")
    return run(work_dir), work_dir


class TestWhatARunLeaves:
    def test_files(self, finished):
        runner, work_dir = finished
        assert (work_dir / "last_checkpoint").read_text() == str(work_dir / "epoch_2.pth")
        labels = np.load(work_dir / "labels_epoch_2.npy")
        assert labels.shape == (1437,) and labels.dtype == np.int64
        assert np.array_equal(labels, get_algorithm(runner).labels().numpy())
        assert list(work_dir.glob("*/*.log"))
        assert list(work_dir.glob("*.py"))  # the config as it was run

    def test_log_has_loss_change_ratio_and_clusters(self, finished):
        # R14, R25 to R28
        lines = scalars(finished[1])
        losses = [line["loss"] for line in lines if "loss" in line]
        assert losses[0] == pytest.approx(math.log(50), rel=0.02)  # R45, P1
        assert len(losses) == runner_iterations(finished)
        assert all(0 <= line["change_ratio"] <= 1 for line in lines if "loss" in line)
        epochs = [line for line in lines if "epoch/nmi_previous" in line]
        assert len(epochs) == 2
        for line in epochs:
            assert line["epoch/num_empty"] == 0
            assert 0 < line["epoch/nmi"] < 1 and line["epoch/ami"] < line["epoch/nmi"]
            # R29: ten digits
            assert (
                0 < line["epoch/mean_entropy"] < math.log(10) and 0 < line["epoch/mean_noise"] < 1
            )
            assert 1 < line["epoch/effective_clusters"] <= 50

    def test_report(self, finished):
        # R68, R69
        _, work_dir = finished
        report = json.loads((work_dir / "report.json").read_text())
        assert 0.85 < report["knn_untrained"]["accuracy"] < 1
        assert 0.5 < report["knn"]["accuracy"] < 1
        for part in ("initial", "memory", "assigner"):
            assert {"nmi", "ami", "ari", "accuracy"} <= report[part].keys()
        assert report["memory"]["num_empty"] == 0
        assert report["features"]["rank_me"] > 1
        assert 0 < report["features"]["nmi_between_seeds"] <= 1
        for part in ("features_untrained", "features"):
            assert 0.4 < report[part]["nmi"] < 0.9 and report[part]["num_clusters"] == 50

    def test_samples_csv_has_one_row_per_image(self, finished):
        runner, work_dir = finished
        with (work_dir / "samples.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["index"]) for row in rows] == list(range(1437))
        assert rows[5]["path"] == "train/5" and rows[5]["label"] == "5"
        bank = [int(row["bank_label"]) for row in rows]
        assert bank == get_algorithm(runner).labels().tolist()
        clusters = [int(row["cluster"]) for row in rows]
        report = json.loads((work_dir / "report.json").read_text())
        assert max(np.bincount(clusters)) == report["assigner"]["max_size"]
        assert all(float(row["distance"]) >= 0 for row in rows)

    def test_assigner_is_the_saved_one(self, finished):
        runner, work_dir = finished
        state = torch.load(work_dir / "assigner.pth", weights_only=True)
        rows = torch.randn(10, 256)
        expected = get_algorithm(runner).assigner.assign(rows).cluster
        assert torch.equal(Assigner.from_state_dict(state).assign(rows).cluster, expected)

    def test_checkpoint_holds_plain_values_and_says_what_it_is(self, finished):
        _, work_dir = finished
        checkpoint = read_checkpoint(work_dir / "epoch_2.pth")
        identity = checkpoint["mmdeepcluster"]
        assert identity["method"] == "ODC" and identity["num_samples"] == 1437
        assert identity["num_clusters"] == 50 and identity["feature_dim"] == 256
        assert checkpoint["cluster_state"]["labels"].shape == (1437,)
        assert "assigner.centroids" in checkpoint["cluster_state"]
        assert not any("memory" in key for key in checkpoint["state_dict"])
        backbone = [key for key in checkpoint["state_dict"] if key.startswith("backbone.")]
        assert backbone  # R47: it can be taken without neck and head

    def test_one_feature_pass_in_total(self, finished):
        # R50: afterwards training is not interrupted
        hooks = [h for h in finished[0].hooks if type(h).__name__ == "OnlineClusteringHook"]
        assert hooks[0].num_feature_passes == 1

    def test_evaluate_gives_the_figures_of_the_run(self, finished):
        _, work_dir = finished
        report = json.loads((work_dir / "report.json").read_text())
        scores = evaluate(DIGITS, work_dir / "epoch_2.pth", options=FAST)
        assert scores["knn"] == report["knn"]
        assert scores["assigner"] == report["assigner"]
        assert scores["memory"] == report["memory"]

    def test_evaluate_refuses_another_training(self, finished):
        checkpoint = finished[1] / "epoch_2.pth"
        with pytest.raises(ConfigError, match=r"num_clusters 50 \(now 20\)"):
            evaluate(DIGITS, checkpoint, options=FAST | {"model.num_clusters": 20})
        with pytest.raises(ConfigError, match=r"nothing.pth does not exist"):
            evaluate(DIGITS, "nothing.pth")


def runner_iterations(finished):
    return 2 * len(finished[0].train_dataloader)


def weights(runner):
    return {name: value.clone() for name, value in get_algorithm(runner).state_dict().items()}


def assert_same_training(first, second):
    for name, value in weights(first).items():
        assert torch.equal(value, weights(second)[name]), name
    one, two = get_algorithm(first).cluster_state(), get_algorithm(second).cluster_state()
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


class TestRepeatability:
    def test_same_seed_same_training(self, finished, tmp_path):
        # promise 7 of the design
        assert_same_training(finished[0], run(tmp_path))

    def test_other_seed_other_training(self, finished, tmp_path):
        other = run(tmp_path, **{"randomness.seed": 1})
        assert not torch.equal(get_algorithm(other).labels(), get_algorithm(finished[0]).labels())

    def test_number_of_data_workers_changes_nothing(self, finished, tmp_path):
        assert_same_training(finished[0], run(tmp_path, **{"train_dataloader.num_workers": 2}))

    def test_known_labels_never_touch_training(self, finished, tmp_path, monkeypatch):
        # R26: the same training without them, bit for bit
        from mmdeepcluster.datasets import Digits

        init = Digits.__init__

        def without_labels(self, *args, **kwargs):
            init(self, *args, **kwargs)
            self.eval_labels = None

        monkeypatch.setattr(Digits, "__init__", without_labels)
        runner = run(tmp_path)
        assert_same_training(finished[0], runner)
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["knn"] is None and report["initial"] == {}

    def test_resumed_equals_uninterrupted(self, finished, tmp_path):
        # R13, P6, at the end of an epoch
        options = {"model.neck.dropout": 0.5}
        straight = run(tmp_path / "straight", **options)
        run(tmp_path / "parts", **options, **{"train_cfg.max_epochs": 1})
        resumed = run(tmp_path / "parts", resume=True, **options)
        assert_same_training(straight, resumed)
        first = [s["loss"] for s in scalars(tmp_path / "straight") if "loss" in s]
        second = [s["loss"] for s in scalars(tmp_path / "parts") if "loss" in s]
        assert first == second
        report = json.loads((tmp_path / "parts" / "report.json").read_text())
        other = json.loads((tmp_path / "straight" / "report.json").read_text())
        assert report == other  # the untrained network is still the one of the start


class TestResumeAndLoad:
    def test_resume_refuses_another_k(self, finished, tmp_path):
        with pytest.raises(ConfigError, match=r"num_clusters 50 \(now 20\)"):
            run(tmp_path, resume=finished[1] / "epoch_2.pth", **{"model.num_clusters": 20})

    def test_resume_refuses_other_images(self, finished, photos, tmp_path):
        options = {"data_root": str(photos), "model.num_clusters": 4}
        with pytest.raises(ConfigError, match=r"num_samples 1437 \(now 60\)"):
            run(tmp_path, resume=finished[1] / "epoch_2.pth", **options)

    def test_load_from_takes_weights_alone(self, finished, tmp_path):
        path = str(finished[1] / "epoch_2.pth")
        options = {"load_from": path, "model.num_clusters": 20, "train_cfg.max_epochs": 1}
        options["optim_wrapper.optimizer.lr"] = 0.0
        options["optim_wrapper.optimizer.weight_decay"] = 0.0
        runner = run(tmp_path, **options)
        ours, theirs = weights(runner), weights(finished[0])
        assert torch.equal(ours["backbone.fc2.weight"], theirs["backbone.fc2.weight"])
        assert ours["head.fc.weight"].shape[0] == 20
        assert get_algorithm(runner).cycle == 1

    def test_bare_resume_of_a_run_that_started_from_weights(self, finished, tmp_path):
        # the same command queued twice: first from the weights, then from its own checkpoint
        options = {"load_from": str(finished[1] / "epoch_2.pth")}
        run(tmp_path / "a", resume=True, **options, **{"train_cfg.max_epochs": 1})
        resumed = run(tmp_path / "a", resume=True, **options)
        assert_same_training(run(tmp_path / "b", **options), resumed)

    def test_malicious_pickle_is_not_executed(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "executed",))

        torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(ConfigError, match="cannot be read"):
            run(tmp_path, resume=tmp_path / "evil.pth")
        assert not (tmp_path / "executed").exists()

    def test_truncated_checkpoint_is_refused(self, finished, tmp_path):
        data = (finished[1] / "epoch_2.pth").read_bytes()
        (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
        with pytest.raises(ConfigError, match=r"cut.pth cannot be read: it is damaged"):
            run(tmp_path, resume=tmp_path / "cut.pth")

    def test_only_the_newest_checkpoints_are_kept(self, tmp_path):
        run(
            tmp_path,
            **{"train_cfg.max_epochs": 3, "default_hooks.checkpoint.max_keep_ckpts": 2},
        )
        assert sorted(p.name for p in tmp_path.glob("*.pth")) == [
            "assigner.pth",
            "epoch_2.pth",
            "epoch_3.pth",
        ]

    def test_files_of_an_earlier_run_are_not_counted(self, tmp_path):
        for epoch in (50, 60, 70):
            (tmp_path / f"epoch_{epoch}.pth").write_text("of an earlier run")
        run(tmp_path, **{"default_hooks.checkpoint.max_keep_ckpts": 1})
        assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_2.pth")
        kept = {path.stem for path in tmp_path.glob("epoch_*.pth")}
        assert kept == {"epoch_2", "epoch_50", "epoch_60", "epoch_70"}


class TestTrainingOptions:
    def test_divergence_is_caught_within_one_interval(self, tmp_path):
        with pytest.raises(TrainingError, match=r"diverged by iteration \d+: .*optimizer.lr"):
            run(
                tmp_path,
                **{"optim_wrapper.optimizer.lr": 1e9, "default_hooks.watchdog.interval": 5},
            )
        assert not list(tmp_path.glob("epoch_*.pth"))

    def test_calibration_and_label_warmup(self, tmp_path):
        options = {
            "default_hooks.clustering.calibration_passes": 2,
            "default_hooks.clustering.label_warmup": 1,
            "default_hooks.cluster_metrics.save_labels_interval": 1,
        }
        runner = run(tmp_path, **options)
        lines = [line for line in scalars(tmp_path) if "loss" in line]
        half = len(lines) // 2
        assert all(line["change_ratio"] == 0 for line in lines[:half])
        assert any(line["change_ratio"] > 0 for line in lines[half:])
        first, second = (np.load(tmp_path / f"labels_epoch_{e}.npy") for e in (1, 2))
        assert (first != second).any()
        hooks = [h for h in runner.hooks if type(h).__name__ == "OnlineClusteringHook"]
        assert hooks[0].num_feature_passes == 1

    def test_amp_on_a_cpu_is_bfloat16(self, tmp_path):
        runner = train(DIGITS, work_dir=tmp_path, amp=True, options=FAST)
        assert type(runner.optim_wrapper).__name__ == "BFloat16OptimWrapper"
        assert get_algorithm(runner).memory.features.dtype == torch.float32

    def test_learning_rate_scales_with_the_batch(self, tmp_path):
        runner = train(DIGITS, work_dir=tmp_path, auto_scale_lr=True, options=FAST)
        configured = runner.cfg.optim_wrapper.optimizer.lr
        rates = {group["initial_lr"] for group in runner.optim_wrapper.optimizer.param_groups}
        assert min(rates) == pytest.approx(configured * 256 / 64)

    def test_head_has_no_momentum(self, finished):
        # R49: the released code
        groups = finished[0].optim_wrapper.optimizer.param_groups
        momenta = {len(group["params"]): group["momentum"] for group in groups}
        assert 0.0 in {group["momentum"] for group in groups}
        assert 0.9 in {group["momentum"] for group in groups}, momenta

    def test_watchdog_can_stop(self, tmp_path):
        with pytest.raises(TrainingError, match=r"stopped, default_hooks.watchdog.action"):
            run(
                tmp_path,
                **{
                    "default_hooks.watchdog.action": "stop",
                    "model.head.init_std": 1e-9,
                    "optim_wrapper.optimizer.lr": 1e-12,
                },
            )


class TestRefusedBeforeTraining:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"optim_wrapper.paramwise_cfg.custom_keys.hed.lr_mult": 3},
                r"custom_keys.hed: no parameter of the model has this in its name; did you mean "
                r"'head'",
            ),
            (
                {"model.backbone.in_channels": 3},
                r"images of train_pipeline do not fit the model: model.backbone.in_channels=3",
            ),
            ({"eval_pipeline.1.size": 40, "eval_pipeline.2.size": 40}, r"images of eval_pipeline"),
            ({"model.memory.momentum": 2.0}, r"model.memory.momentum must be in \(0, 1\], got 2.0"),
            ({"sync_bn": "apex"}, r"sync_bn must be 'torch', 'mmcv' or None, got 'apex'"),
            ({"default_hooks.checkpoint.interval": 0}, r"checkpoint.interval must be at least 1"),
        ],
    )
    def test_with_the_key(self, options, message, tmp_path):
        with pytest.raises(ConfigError, match=message):
            run(tmp_path, **options)


def test_tensorboard_by_name(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is an optional extra")
    run(tmp_path, vis_backends=["LocalVisBackend", "TensorboardVisBackend"])
    assert list(tmp_path.rglob("events.out.tfevents.*")) and scalars(tmp_path)


class TestFolder:
    def run(self, work_dir, photos, **options):
        """With the number of clusters that follows from the folder."""
        fast = {key: value for key, value in FAST.items() if key != "model.num_clusters"}
        return train(DIGITS, work_dir=work_dir, options=fast | {"data_root": str(photos)} | options)

    def test_folder_without_labels(self, photos, tmp_path):
        # R73: automatic sizes, no labels needed
        runner = self.run(tmp_path, photos)
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["knn"] is None
        assert "nmi" not in report["memory"]
        assert get_algorithm(runner).num_clusters == 15
        assert report["memory"]["num_empty"] == 0

    def test_folder_names_as_labels(self, photos, tmp_path):
        for number, path in enumerate(sorted(photos.iterdir())):
            folder = photos / f"class_{number % 3}"
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
        self.run(tmp_path, photos, **{"dataset.labels": "folder"})
        report = json.loads((tmp_path / "report.json").read_text())
        assert 0 <= report["knn"]["accuracy"] <= 1
        assert "nmi" in report["assigner"]


def test_user_module_trains_without_touching_the_package(tmp_path, monkeypatch):
    # R70
    (tmp_path / "my_backbone.py").write_text(
        "from torch import nn\n"
        "from mmdeepcluster.models.backbones import ChainedBackbone\n"
        "from mmdeepcluster.registry import BACKBONES\n"
        "@BACKBONES.register_module()\n"
        "class TinyNet(ChainedBackbone):\n"
        "    def __init__(self, width=4):\n"
        "        super().__init__(1, {'out': width}, (0,))\n"
        "        self.conv = nn.Conv2d(1, width, 8, stride=8)\n"
        "    def run_stage(self, index, x):\n"
        "        return self.conv(x)\n"
    )
    (tmp_path / "config.py").write_text(
        f"_base_ = '{DIGITS}'\n"
        "custom_imports = dict(imports=['my_backbone'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(_delete_=True, type='TinyNet', width=6))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    runner = train(tmp_path / "config.py", work_dir=tmp_path / "run", options=FAST)
    assert type(get_algorithm(runner).backbone).__name__ == "TinyNet"
