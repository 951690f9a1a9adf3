"""Starting up: the data set first, then every refusal (DESIGN section 6, R73, R74, P2 to P4)."""

import importlib
import logging

import pytest
from conftest_engine import CONFIGS, DIGITS, truncate

from mmdeepcluster.engine import ConfigError, load_algorithm, load_config, resolve_config
from mmdeepcluster.engine.auto_defaults import auto_min_cluster_size, auto_num_clusters

module = importlib.import_module("mmdeepcluster.engine.resolve_config")


class TestAutoDefaults:
    @pytest.mark.parametrize(
        ("num_samples", "num_clusters", "min_size"),
        [
            # K = min(max(16, round(N/128)), N//4); min = max(2, floor(0.15 N/K)): R74
            (8, 2, 2),
            (50, 12, 2),
            (200, 16, 2),
            (2048, 16, 19),
            (50_000, 391, 19),
            (1_281_167, 10_009, 19),
        ],
    )
    def test_table(self, num_samples, num_clusters, min_size):
        assert auto_num_clusters(num_samples) == num_clusters
        assert auto_min_cluster_size(num_samples, num_clusters) == min_size

    def test_never_more_than_half_of_the_samples_are_bound(self):
        for num_samples in range(8, 5000):
            num_clusters = auto_num_clusters(num_samples)
            assert num_clusters * auto_min_cluster_size(num_samples, num_clusters) <= num_samples


class TestSizes:
    def test_plain_numbers_are_written(self):
        cfg = resolve_config(DIGITS).cfg
        assert cfg.model.num_samples == 1437
        assert cfg.model.num_clusters == 20
        assert cfg.model.memory.min_cluster_size == 10

    def test_resolving_again_changes_nothing(self, photos):
        for options in ({}, {"data_root": str(photos)}, {"model.num_clusters": "auto"}):
            first = resolve_config(DIGITS, options).cfg
            assert resolve_config(first).cfg.to_dict() == first.to_dict()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"model.num_clusters": 2000}, r"model.num_clusters=2000 exceeds the 1437 images"),
            (
                {"model.num_clusters": 100, "model.memory.min_cluster_size": 15},
                r"num_clusters=100 x model.memory.min_cluster_size=15 = 1500 exceeds the 1437",
            ),
            ({"model.num_clusters": 1}, "must be 'auto' or an integer >= 2, got 1"),
            ({"model.num_clusters": "many"}, "must be 'auto' or an integer >= 2, got 'many'"),
            ({"model.memory.min_cluster_size": 0}, "integer >= 1, got 0"),
            ({"model.num_samples": 5}, "model.num_samples is 5 but the data set has 1437"),
        ],
    )
    def test_refusals(self, options, message):
        with pytest.raises(ConfigError, match=message):
            resolve_config(DIGITS, options)

    def test_tight_sizes_warn(self, monkeypatch):
        said = []
        monkeypatch.setattr(module, "print_log", lambda text, *rest: said.append((text, rest)))
        resolve_config(DIGITS, {"model.num_clusters": 20, "model.memory.min_cluster_size": 35})
        assert said == []
        resolve_config(DIGITS, {"model.num_clusters": 20, "model.memory.min_cluster_size": 36})
        assert "is 50% of the 1437 images" in said[0][0] and logging.WARNING in said[0][1]
        said.clear()
        resolve_config(DIGITS, {"model.num_clusters": 37, "model.memory.min_cluster_size": 4})
        assert "38.8 images a cluster, fewer than 39" in said[0][0]


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("model = dict(", "SyntaxError"),
            ("_base_ = 'nothing.py'", "nothing.py"),
            ("custom_imports = dict(imports=['no_such_module'])", "no_such_module"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_named(self, tmp_path, text, message):
        path = tmp_path / "mine.py"
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"mine.py cannot be read: .*{message}"):
            resolve_config(path)

    def test_custom_imports_work_as_an_option_too(self, tmp_path, monkeypatch):
        (tmp_path / "my_loss.py").write_text(
            "from mmdeepcluster.registry import LOSSES\n"
            "@LOSSES.register_module()\n"
            "class MyLoss:\n"
            "    def __init__(self, power=1.0): pass\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        options = {"model.loss": {"type": "MyLoss"}}
        with pytest.raises(ConfigError, match=r"model.loss.type: no 'MyLoss'"):
            resolve_config(DIGITS, options)
        assert resolve_config(DIGITS, options | {"custom_imports.imports": ["my_loss"]})
        with pytest.raises(ConfigError, match=r"custom_imports: .*not_there"):
            resolve_config(DIGITS, {"custom_imports.imports": ["not_there"]})


class TestUnknownKeys:
    @pytest.mark.parametrize("hook", ["SyncBuffersHook", "EMAHook"])
    def test_hooks_that_would_average_the_memory_are_refused(self, hook):
        with pytest.raises(ConfigError, match=rf"custom_hooks\[0\]: {hook} cannot be used here"):
            resolve_config(DIGITS, {"custom_hooks": [{"type": hook}]})

    @pytest.mark.parametrize("text", ["dict(type='TimmBackbone')", '{"type": "TimmBackbone"}'])
    def test_a_dict_on_the_command_line_is_refused(self, text):
        with pytest.raises(ConfigError, match=r"model.backbone=.*a dict cannot be written there"):
            resolve_config(DIGITS, {"model.backbone": text})

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("model.num_cluster", r"model.num_cluster: unknown key of ODC, did you mean 'num_clu"),
            ("model.memory.momentmu", r"momentmu: unknown key of ODCMemory, did you mean 'mome"),
            ("model.neck.droput", "droput: unknown key of ODCNeck, did you mean 'dropout'"),
            ("model.backbone.depth", "depth: unknown key of LeNet5, known: batch_norm, in_ch"),
            ("model.clusterer.max_iter", "unknown key of KMeans, did you mean 'max_iters'"),
            ("model.neck.norm_cfg.momentm", "unknown key of BN1d, did you mean 'moment"),
            ("default_hooks.watchdog.acton", "unknown key of CollapseWatchdogHook"),
            ("default_hooks.epoch_seed.x", "unknown key of EpochSeedHook"),
            ("optim_wrapper.optimizer.momentm", "unknown key of SGD, did you mean 'momentum'"),
            ("optim_wrapper.clip_gard", "unknown key of OptimWrapper, did you mean 'clip_grad'"),
            ("train_cfg.max_epoch", "train_cfg.max_epoch: unknown key of EpochBasedTrainLoop"),
            ("train_dataloader.bach_size", "train_dataloader.bach_size: unknown key"),
            ("train_dataloader.dataset", "train_dataloader.dataset: unknown key"),
            ("dataset.rot", "dataset.rot: unknown key of Digits"),
            ("evaluation.knn", "evaluation.knn: unknown key, did you mean"),
            ("randomness.sed", "randomness.sed: unknown key, did you mean 'seed'"),
            ("train_cgf.max_epochs", "train_cgf.max_epochs: no such key, did you mean 'train_cfg'"),
            ("epochs", "--cfg-options epochs: no such key"),
        ],
    )
    def test_did_you_mean(self, option, message):
        with pytest.raises(ConfigError, match=message):
            resolve_config(DIGITS, {option: 1})

    def test_a_part_that_is_none_may_be_given_keys(self):
        config = CONFIGS / "deepcluster" / "deepcluster_lenet5_digits.py"
        options = {
            "model.feature_transform.type": "PCAWhitening",
            "model.feature_transform.dim": 8,
        }
        transform = resolve_config(config, options).cfg.model.feature_transform
        assert transform == {"type": "PCAWhitening", "dim": 8}
        with pytest.raises(ConfigError, match=r"--cfg-options model.type.x: "):
            resolve_config(config, {"model.type.x": 1})

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("model.head.num_clusters", "is derived from model.num_clusters, leave it out"),
            ("model.memory.num_samples", "is derived from the data set, leave it out"),
            ("model.memory.feature_dim", "is derived from model.neck, leave it out"),
            ("model.neck.in_channels", "is derived from model.backbone, leave it out"),
        ],
    )
    def test_what_is_derived_may_not_be_given(self, option, message):
        with pytest.raises(ConfigError, match=message):
            resolve_config(DIGITS, {option: 10})

    def test_all_problems_at_once(self):
        with pytest.raises(ConfigError, match="2 keys cannot be used") as error:
            resolve_config(DIGITS, {"model.memory.momentmu": 1, "model.neck.droput": 1})
        assert "momentmu" in str(error.value) and "droput" in str(error.value)

    def test_unknown_types(self):
        with pytest.raises(ConfigError, match="no 'LeNet6', did you mean 'LeNet5'"):
            resolve_config(DIGITS, {"model.backbone.type": "LeNet6"})
        with pytest.raises(ConfigError, match=r"train_pipeline\[1\].type: no 'Resizee'"):
            resolve_config(DIGITS, {"train_pipeline.1.type": "Resizee"})

    def test_root_of_a_config_file_one_slip_away(self, tmp_path):
        path = tmp_path / "config.py"
        path.write_text(f"_base_ = '{DIGITS}'\ntrain_cgf = dict(max_epochs=3)\nmy_note = 'x'\n")
        with pytest.raises(ConfigError, match="train_cgf: not a key of a config, did you mean"):
            resolve_config(path)
        path.write_text(f"_base_ = '{DIGITS}'\nmy_note = 'x'\n")
        resolve_config(path)

    def test_missing_config(self):
        with pytest.raises(ConfigError, match=r"config file nothing.py does not exist"):
            load_config("nothing.py")


class TestDataRoot:
    def test_replaces_the_images(self, photos):
        resolved = resolve_config(DIGITS, {"data_root": str(photos)})
        cfg = resolved.cfg
        assert len(resolved.dataset) == 60 and resolved.dataset.eval_labels is None
        assert cfg.dataset == {"type": "ImageFolder", "root": str(photos)}
        assert cfg.evaluation.test_split is None
        # 60 < 39 * 20: both become automatic
        assert (cfg.model.num_clusters, cfg.model.memory.min_cluster_size) == (15, 2)

    def test_sizes_that_were_given_stay(self, photos):
        options = {"data_root": str(photos), "model.num_clusters": 4}
        cfg = resolve_config(DIGITS, options).cfg
        assert (cfg.model.num_clusters, cfg.model.memory.min_cluster_size) == (4, 2)
        options["model.memory.min_cluster_size"] = 7
        assert resolve_config(DIGITS, options).cfg.model.memory.min_cluster_size == 7
        options["model.num_clusters"] = 20
        with pytest.raises(ConfigError, match="= 140 exceeds the 60 images"):
            resolve_config(DIGITS, options)

    def test_sizes_stay_as_configured_for_a_large_folder(self, tmp_path, photos):
        path = tmp_path / "config.py"
        path.write_text(
            f"_base_ = '{DIGITS}'\n"
            "model = dict(num_clusters=1, memory=dict(min_cluster_size=3))\n".replace("=1,", "=2,")
        )
        # 60 < 39 * 2 = 78: automatic; a K of the config that the folder is large enough for stays
        assert resolve_config(path, {"data_root": str(photos)}).cfg.model.num_clusters == 15
        for number in range(60, 80):
            (photos / f"more_{number}.jpg").write_bytes((photos / "img_000.jpg").read_bytes())
        cfg = resolve_config(path, {"data_root": str(photos)}).cfg
        assert (cfg.model.num_clusters, cfg.model.memory.min_cluster_size) == (2, 3)

    def test_bad_folders(self, tmp_path):
        missing = tmp_path / "missing"
        with pytest.raises(ConfigError, match="missing"):
            resolve_config(DIGITS, {"data_root": str(missing)})
        missing.mkdir()
        with pytest.raises(ConfigError, match="no image"):
            resolve_config(DIGITS, {"data_root": str(missing)})

    def test_too_few_images(self, photos):
        for path in sorted(photos.iterdir())[7:]:
            path.unlink()
        with pytest.raises(ConfigError, match="has 7 images, at least 8 are needed"):
            resolve_config(DIGITS, {"data_root": str(photos)})

    def test_truncated_image_under_each_policy(self, photos):
        truncate(photos / "img_007.jpg")
        options = {"data_root": str(photos)}
        with pytest.raises(ConfigError, match=r"(?s)1 .*img_007.jpg.*unreadable='skip'"):
            resolve_config(DIGITS, options)
        resolved = resolve_config(DIGITS, options | {"dataset.unreadable": "skip"})
        assert len(resolved.dataset) == 59
        assert resolved.dataset.unreadable == ("img_007.jpg",)


def test_a_file_that_is_gone_when_a_checkpoint_is_used_is_one_line(photos):
    """R60: with 'trust' nobody looked before the identity of the data set is asked for."""
    names = sorted(path.name for path in photos.iterdir())
    (photos / "list.txt").write_text("\n".join(names) + "\n")
    options = {
        "dataset": {
            "type": "ImageList",
            "list_file": str(photos / "list.txt"),
            "unreadable": "trust",
            "_delete_": True,
        },
        "evaluation.test_split": None,
        "model.num_clusters": 4,
    }
    resolved = resolve_config(DIGITS, options)
    (photos / names[5]).unlink()
    with pytest.raises(ConfigError, match=names[5]):
        load_algorithm(resolved, photos / "no.pth")
