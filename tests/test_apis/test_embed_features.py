"""Maps of a layer of LeNet-5 on the bundled digits (R33)."""

import builtins
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.apis import embed_features, prepare_training, train
from mmdeepcluster.apis import embed_features as verb
from mmdeepcluster.engine import (
    ConfigError,
    build_runner,
    eval_loader,
    load_algorithm,
    resolve_config,
)
from mmdeepcluster.models import extract

module = sys.modules[verb.__module__]
ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "deepcluster" / "deepcluster_lenet5_digits.py"
TOOL = ROOT / "tools" / "analysis_tools" / "embed_features.py"
SMALL = {"dataset.split": "test"}  # 360 images
FAST = SMALL | {"train_cfg.max_epochs": 1, "train_dataloader.num_workers": 0}


@pytest.fixture
def mapped(monkeypatch):
    """Features that were mapped; the map itself is their first two columns."""
    seen = []

    def first_two(features, method, seed):
        seen.append(features)
        return features[:, :2]

    monkeypatch.setattr(module, "embed_2d", first_two)
    return seen


@pytest.fixture
def groups(monkeypatch):
    """What figures were coloured by, and the names of it."""
    seen = []

    def record(path, positions, groups, title, names):
        seen.append((groups, names))
        return True

    monkeypatch.setattr(module, "scatter", record)
    return seen


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(DIGITS, work_dir=folder, options=FAST)
    return folder / "epoch_1.pth"


@pytest.fixture
def unlabelled(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return {"data_root": str(folder)}


def test_untrained_activations_are_those_that_training_starts_from_r33(tmp_path, mapped):
    options = SMALL | {"randomness.seed": 3}
    found = embed_features(DIGITS, options=options)
    resolved = prepare_training(DIGITS, work_dir=tmp_path, options=options)
    algorithm = build_runner(resolved).model
    loader = eval_loader(resolved, resolved.dataset)
    expected = extract(algorithm, loader, ("conv_2.flat",))["conv_2.flat"].numpy()
    assert found["layer"] == "conv_2.flat"
    assert mapped[0].shape == (360, 1600)
    np.testing.assert_array_equal(mapped[0], expected)
    np.testing.assert_array_equal(found["sample_idx"], np.arange(360))
    np.testing.assert_array_equal(found["labels"], resolved.dataset.eval_labels)
    np.testing.assert_array_equal(found["clusters"], np.full(360, -1))


def test_a_subset_is_seeded_and_in_order_r33(mapped):
    options = dict(layer="neck", options=SMALL)
    whole = embed_features(DIGITS, **options)
    first, again, other = (
        embed_features(DIGITS, max_samples=50, seed=seed, **options) for seed in (1, 1, 2)
    )
    index = first["sample_idx"]
    assert len(index) == 50 and (np.diff(index) > 0).all()
    np.testing.assert_array_equal(mapped[1], mapped[0][index])
    np.testing.assert_array_equal(first["labels"], whole["labels"][index])
    np.testing.assert_array_equal(again["sample_idx"], index)
    assert not np.array_equal(other["sample_idx"], index)


def test_a_checkpoint_gives_its_weights_and_clusters_r33(checkpoint, mapped, groups, tmp_path):
    found = embed_features(
        DIGITS, checkpoint=checkpoint, max_samples=60, out=tmp_path, options=SMALL
    )
    resolved = resolve_config(DIGITS, SMALL)
    algorithm = load_algorithm(resolved, checkpoint)
    loader = eval_loader(resolved, resolved.dataset, found["sample_idx"].tolist())
    expected = extract(algorithm, loader, ("conv_2.flat",))["conv_2.flat"].numpy()
    np.testing.assert_array_equal(mapped[0], expected)
    np.testing.assert_array_equal(
        found["clusters"], algorithm.labels().numpy()[found["sample_idx"]]
    )
    assert len(set(found["clusters"].tolist())) > 5
    # classes are known, so they are what is shown
    np.testing.assert_array_equal(groups[0][0], found["labels"])
    assert list(groups[0][1]) == [str(digit) for digit in range(10)]
    embed_features(DIGITS, max_samples=60, options=SMALL)
    assert np.abs(mapped[1] - mapped[0]).max() > 1e-3


def test_without_classes_clusters_are_shown_or_nothing_r33(tmp_path, unlabelled, mapped, groups):
    options = FAST | unlabelled | {"model.num_clusters": 3}
    del options["dataset.split"]
    train(DIGITS, work_dir=tmp_path / "run", options=options)
    arguments = dict(out=tmp_path / "map", options=options)
    embed_features(DIGITS, **arguments)
    found = embed_features(DIGITS, checkpoint=tmp_path / "run" / "epoch_1.pth", **arguments)
    assert (found["labels"] == -1).all()
    shown = [groups[number][0] for number in (0, 1)]
    assert (shown[0] == -1).all() and set(shown[1].tolist()) <= {0, 1, 2}
    np.testing.assert_array_equal(shown[1], found["clusters"])
    assert groups[1][1] is None


def test_the_same_call_writes_the_same_numbers_r33(tmp_path):
    arguments = dict(max_samples=60, seed=4, options=SMALL)
    found = embed_features(DIGITS, out=tmp_path / "a", **arguments)
    torch.rand(3)  # the state of global generators must not matter
    embed_features(DIGITS, out=tmp_path / "b", **arguments)
    with np.load(tmp_path / "a" / "embedding.npz") as file:
        assert set(file.files) == {"positions", "sample_idx", "labels", "clusters"}
        for name in file.files:
            np.testing.assert_array_equal(file[name], found[name])
        assert file["positions"].shape == (60, 2)
    files = [(tmp_path / name / "embedding.npz").read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]
    image = Image.open(tmp_path / "a" / "embedding.png").convert("RGB")
    assert len(image.getcolors(1 << 24)) > 50


def test_few_images_are_mapped_as_they_are_r33(unlabelled):
    found = embed_features(DIGITS, options=unlabelled)
    assert found["positions"].shape == (12, 2) and np.isfinite(found["positions"]).all()


@pytest.mark.parametrize(
    ("names", "layer"),
    [
        (("conv_1", "relu_1", "conv_2", "relu_2", "fc_1"), "conv_2.flat"),
        (("conv_9", "relu_9", "conv_10", "relu_10", "fc_11"), "conv_10.flat"),
        (("feat1", "feat2"), "backbone"),
    ],
)
def test_default_layer(names, layer):
    assert module._last_convolution(names) == layer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(layer="conv_3"), r"layer 'conv_3': unknown layers .* has .*'conv_1'"),
        (dict(layer="conv_2.avg20"), r"layer 'conv_2.avg20': "),
        (dict(max_samples=3), r"--max-samples 3: a map needs at least 4 images"),
        (dict(method="pca"), r"--method: method must be one of tsne, umap, got 'pca'"),
        (dict(checkpoint="none.pth"), r"checkpoint none.pth does not exist"),
    ],
)
def test_what_cannot_be_mapped_is_said_in_one_line(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        embed_features(DIGITS, options=SMALL, **arguments)
    assert "\n" not in str(error.value)


def test_without_matplotlib_all_but_the_figure_is_there_r33(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    lines = []
    monkeypatch.setattr(module, "print_log", lambda text, *_: lines.append(text))
    monkeypatch.setattr(builtins, "__import__", refuse)
    embed_features(DIGITS, max_samples=20, out=tmp_path, options=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["embedding.npz"]
    assert lines == [f"written: {tmp_path / 'embedding.npz'}; no figure without matplotlib"]


def test_the_tool_maps_r33(tmp_path, monkeypatch, capsys):
    arguments = ["--max-samples", "30", "--layer", "relu_2", "--seed", "5", "--out", str(tmp_path)]
    settings = ["--cfg-options", "dataset.split=test"]
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(DIGITS), *arguments, *settings])
    runpy.run_path(str(TOOL), run_name="__main__")
    assert f"30 images, tsne of relu_2: {tmp_path}" in capsys.readouterr().out
    expected = embed_features(DIGITS, max_samples=30, layer="relu_2", seed=5, options=SMALL)
    with np.load(tmp_path / "embedding.npz") as file:
        np.testing.assert_array_equal(file["positions"], expected["positions"])
    assert (tmp_path / "embedding.png").stat().st_size > 1000
