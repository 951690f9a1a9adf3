"""Clusters as a deliverable: tools/export_clusters.py and tools/assign.py of a real training."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tool_runs import ROOT, run_here

from mmdeepcluster.apis import ClusterModel, export_model, train
from mmdeepcluster.apis.cluster_tree import TREE
from mmdeepcluster.datasets import ImageFolder
from mmdeepcluster.engine import eval_loader, load_algorithm, resolve_config
from mmdeepcluster.models import extract

DIGITS = str(ROOT / "configs/odc/odc_lenet5_digits.py")
K = 6


def write_images(folder, number, seed):
    """Bars of several directions, in noise."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        pixels = rng.integers(0, 60, (32, 32))
        kind = index % 3
        if kind < 2:
            place = rng.integers(4, 24)
            pixels[
                (slice(place, place + 5),) if kind else (slice(None), slice(place, place + 5))
            ] = 220
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{seed}_{index:03d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training on 150 images; its config, checkpoint, folder, and 200 images it never saw."""
    folder = tmp_path_factory.mktemp("clusters")
    images = write_images(folder / "images", 150, seed=1)
    config = folder / "config.py"
    config.write_text(
        f"_base_ = {DIGITS!r}\n"
        f"dataset = dict(_delete_=True, type='ImageFolder', root={str(images)!r})\n"
        "evaluation = dict(test_split=None)\n"
        f"model = dict(num_clusters={K})\n"
        "train_cfg = dict(max_epochs=2)\n"
        "train_dataloader = dict(num_workers=0)\n"
        "default_hooks = dict(clustering=dict(calibration_passes=0, label_warmup=0),\n"
        "                     checkpoint=dict(interval=1))\n"
    )
    train(config, work_dir=folder / "run")
    assert run_here("export_clusters.py", *arguments(folder), "--links") is None
    return folder


def arguments(folder, epoch=2, out="out"):
    return folder / "config.py", folder / "run" / f"epoch_{epoch}.pth", "--out", folder / out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return [row[name] for row in rows]


def rule(trained, images):
    """Clusters of images by what the training ended with, without any of the tools."""
    resolved = resolve_config(trained / "config.py")
    algorithm = load_algorithm(resolved, trained / "run" / "epoch_2.pth")
    features = extract(algorithm, eval_loader(resolved, images))["neck"]
    return algorithm.assigner.assign(features)


def test_the_clusters_of_the_training(trained):
    rows = rows_of(trained / "out" / "clusters.csv")
    samples = rows_of(trained / "run" / "samples.csv")
    for name in ("index", "path", "label", "cluster", "distance"):
        assert column(rows, name) == column(samples, name)
    assert column(rows, "stable_id") == column(rows, "cluster")
    assert len(set(column(rows, "cluster"))) > 1
    expected = rule(trained, ImageFolder(trained / "images"))
    margins = np.array([float(x) for x in column(rows, "margin")])
    assert np.allclose(margins, expected.margin.numpy(), atol=1e-6)
    card = json.loads((trained / "out" / "clusters.json").read_text())
    assert sum(card["sizes"]) == 150 and card["next_stable_id"] == K
    table = np.load(trained / "out" / "clusters.npy", mmap_mode="r")
    assert table["cluster"].tolist() == [int(x) for x in column(rows, "cluster")]


def test_links_and_copies(trained):
    rows = rows_of(trained / "out" / "clusters.csv")
    tree = trained / "out" / TREE
    for row in rows[::10]:
        link = tree / row["stable_id"] / f"{int(row['index']):03d}_{row['path']}"
        assert link.is_symlink() and link.samefile(trained / "images" / row["path"])
    assert sum(1 for _ in tree.glob("*/*")) == 150
    assert "exists: --overwrite replaces it" in run_here(
        "export_clusters.py", *arguments(trained), "--copy"
    )
    assert run_here("export_clusters.py", *arguments(trained, out="copies"), "--copy") is None
    copies = sorted((trained / "copies" / TREE).glob("*/*"))
    assert len(copies) == 150 and not copies[0].is_symlink()
    name = copies[0].name.split("_", 1)[1]
    assert copies[0].read_bytes() == (trained / "images" / name).read_bytes()


def test_parquet_is_the_csv(trained):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(trained / "out" / "clusters.parquet").to_pydict()
    rows = rows_of(trained / "out" / "clusters.csv")
    assert list(table) == list(rows[0])
    assert table["path"] == column(rows, "path") and table["label"] == [None] * 150
    assert table["stable_id"] == [int(x) for x in column(rows, "stable_id")]
    assert [f"{x:.6f}" for x in table["margin"]] == column(rows, "margin")


def test_no_parquet_without_pyarrow(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run_here("export_clusters.py", *arguments(trained, out="csv")) is None
    assert not (trained / "csv" / "clusters.parquet").exists()
    assert (trained / "csv" / "clusters.csv").read_bytes() == (
        trained / "out" / "clusters.csv"
    ).read_bytes()


def test_new_images_get_the_clusters_of_the_training_time_rule(trained, tmp_path):
    unseen = write_images(tmp_path / "unseen", 200, seed=2)
    expected = rule(trained, ImageFolder(unseen))
    (unseen / "broken.png").write_bytes(b"no image")
    out = tmp_path / "new.csv"
    model = trained / "out" / "cluster_model.pth"
    assert run_here("assign.py", model, unseen, "--out", out) is None
    rows = rows_of(out)
    assert [int(x) for x in column(rows, "cluster")] == expected.cluster.tolist()
    assert np.allclose([float(x) for x in column(rows, "distance")], expected.distance, atol=1e-6)
    assert (tmp_path / "new.csv.unreadable.txt").read_text().startswith("broken.png\tUnident")
    assert "exists" in run_here("assign.py", model, unseen, "--out", out)
    # images of the training get the ids of the export
    again = tmp_path / "again.csv"
    assert run_here("assign.py", model, trained / "images", "--out", again) is None
    exported = rows_of(trained / "out" / "clusters.csv")
    assert rows_of(again) == exported


def test_export_model_needs_no_images(trained, tmp_path):
    model = export_model(
        trained / "config.py", trained / "run" / "epoch_2.pth", tmp_path / "model.pth"
    )
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert saved["format"] == "mmdeepcluster.cluster_model"
    exported = ClusterModel.load(trained / "out" / "cluster_model.pth")
    images = [trained / "images" / f"1_{i:03d}.png" for i in range(5)]
    assert np.array_equal(model.predict(images), exported.predict(images))
    assert model.counts.sum() == 150


def test_an_export_of_an_earlier_epoch_and_its_ids(trained):
    # epoch 1 has no assigner yet: it is fitted as at the end of a training
    assert run_here("export_clusters.py", *arguments(trained, epoch=1, out="first")) is None
    first = rows_of(trained / "first" / "clusters.csv")
    resolved = resolve_config(trained / "config.py")
    algorithm = load_algorithm(resolved, trained / "run" / "epoch_1.pth")
    features = extract(algorithm, eval_loader(resolved, resolved.dataset))["neck"]
    assigner = algorithm.finalize(features, algorithm.labels())
    assert column(first, "cluster") == [str(x) for x in assigner.assign(features).cluster.tolist()]
    previous = trained / "first" / "clusters.csv"
    command = [*arguments(trained, out="second"), "--previous", previous]
    assert run_here("export_clusters.py", *command) is None
    second = rows_of(trained / "second" / "clusters.csv")
    card = json.loads((trained / "second" / "clusters.json").read_text())
    ids = card["stable_ids"]
    assert len(set(ids)) == K and card["next_stable_id"] == K + K - card["num_matched"]
    assert column(second, "stable_id") == [str(ids[int(x)]) for x in column(second, "cluster")]
    # other ids would overwrite those that were handed out
    last = run_here("export_clusters.py", *arguments(trained, out="second"))
    assert "previous:" in last and "--overwrite" in last
    assert "knows none of the 150 images" in run_here(
        "export_clusters.py", *arguments(trained, out="third"), "--previous", _other(trained)
    )


def _other(trained):
    path = trained / "other.csv"
    path.write_text("path,stable_id\nelsewhere.png,3\n")
    return path


def test_refusals(trained, tmp_path):
    config, checkpoint = arguments(trained)[:2]
    last = run_here("assign.py", checkpoint, trained / "images", "--out", tmp_path / "a.csv")
    assert "is no cluster model: make one of a checkpoint by tools/export_clusters.py" in last
    assert "--min-overlap must be between 0 and 1" in run_here(
        "export_clusters.py", config, checkpoint, "--out", tmp_path / "o", "--min-overlap", "2"
    )
    digits = ["--cfg-options", "model.backbone.in_channels=3"]
    last = run_here("export_clusters.py", config, checkpoint, "--out", tmp_path / "o", *digits)
    assert "other shapes backbone." in last
    empty = tmp_path / "empty"
    empty.mkdir()
    model = trained / "out" / "cluster_model.pth"
    assert "no image in" in run_here("assign.py", model, empty, "--out", tmp_path / "a.csv")
    with pytest.raises(ValueError, match="no images: the list or array is empty"):
        ClusterModel.load(model).predict([])
