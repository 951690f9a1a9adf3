"""Initial Alignment on the bundled digits, with LeNet-5 as it starts out."""

import builtins
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdeepcluster.apis import (
    initial_alignment,
    prepare_training,
    rank_by_initial_alignment,
    train,
)
from mmdeepcluster.apis import initial_alignment as verb
from mmdeepcluster.apis.untrained import untrained_algorithm
from mmdeepcluster.engine import ConfigError, build_runner
from mmdeepcluster.evaluation.initial_alignment import MEASURES

module = sys.modules[verb.__module__]
ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "deepcluster" / "deepcluster_lenet5_digits.py"
SMALL = {"dataset.split": "test"}  # 360 images
TOOL = ROOT / "tools" / "analysis_tools" / "initial_alignment.py"


@pytest.fixture
def passes(monkeypatch):
    """Seeds whose networks were run over the images."""
    seen = []
    features = module._features

    def counted(resolved, batches, seed):
        seen.append(seed)
        return features(resolved, batches, seed)

    monkeypatch.setattr(module, "_features", counted)
    return seen


def test_the_network_is_the_one_that_training_starts_from(tmp_path):
    resolved = prepare_training(DIGITS, work_dir=tmp_path, options={"randomness.seed": 3})
    trained = build_runner(resolved).model.state_dict()
    untrained = untrained_algorithm(resolved, 3).cpu().state_dict()
    weights = [name for name in trained if name.startswith(("backbone", "head"))]
    assert len(weights) > 10
    for name in weights:
        assert (trained[name].cpu() == untrained[name]).all(), name


def deeper():
    """The same with DeeperCluster's two levels."""
    config = Config.fromfile(DIGITS)
    del config.model["loss"]
    config.model.update(
        type="DeeperCluster",
        num_super_clusters=3,
        head={"type": "TwoLevelHead"},
        clusterer={"type": "TwoLevelKMeans"},
    )
    return config


@pytest.mark.parametrize("method", [lambda: DIGITS, deeper], ids=["DeepCluster", "DeeperCluster"])
def test_it_is_the_agreement_of_the_first_clusters_of_a_training_r30(tmp_path, method):
    options = {
        "train_cfg.max_epochs": 1,
        "train_dataloader.num_workers": 0,
        "model.num_clusters": 12,
        "model.feature_transform": {"type": "PCAWhitening", "dim": 20, "_delete_": True},
    }
    train(method(), work_dir=tmp_path, options={**options, "randomness.seed": 2})
    first = json.loads((tmp_path / "report.json").read_text())["initial"]
    found = initial_alignment(method(), seeds=[2], options=options)
    assert [value["num_clusters"] for value in found["values"]] == [12]
    assert found["values"][0]["nmi"] == pytest.approx(first["nmi"], abs=1e-9)
    assert found["values"][0]["ami"] == pytest.approx(first["ami"], abs=1e-9)


def test_one_pass_for_each_seed_and_a_value_for_each_k_r31(tmp_path, passes):
    found = initial_alignment(
        DIGITS, clusters=[20, 10], seeds=[1, 2, 3], out=tmp_path, options=SMALL
    )
    assert passes == [1, 2, 3]
    pairs = [(value["num_clusters"], value["seed"]) for value in found["values"]]
    assert pairs == [(10, 1), (10, 2), (10, 3), (20, 1), (20, 2), (20, 3)]
    assert found["average_method"] == "arithmetic"
    assert set(MEASURES) <= found["values"][0].keys()
    assert len({value["nmi"] for value in found["values"]}) == 6
    assert 0.3 < found["clusters"][10]["nmi"]["median"] < 0.9
    written = json.loads((tmp_path / "initial_alignment.json").read_text())
    assert written["values"] == found["values"]
    assert (tmp_path / "initial_alignment.png").stat().st_size > 1000


def test_a_run_that_was_cut_off_continues_to_the_same_r31(tmp_path, passes):
    options = dict(clusters=[10, 20], seeds=[1, 2], options=SMALL)
    whole = initial_alignment(DIGITS, out=tmp_path / "whole", **options)
    lines = (tmp_path / "whole" / "initial_alignment.jsonl").read_text().splitlines()
    assert len(lines) == 4
    folder = tmp_path / "cut"
    folder.mkdir()
    # a seed is complete but for its second K, and that line is torn
    (folder / "initial_alignment.jsonl").write_text(lines[0] + "\n" + lines[1][:40])
    passes.clear()
    assert initial_alignment(DIGITS, out=folder, **options) == whole
    assert passes == [1, 2]
    passes.clear()
    assert initial_alignment(DIGITS, out=folder, **options) == whole
    assert passes == []
    json_of = [tmp_path / name / "initial_alignment.json" for name in ("whole", "cut")]
    assert json_of[0].read_text() == json_of[1].read_text()


def test_results_of_something_else_are_not_continued(tmp_path):
    initial_alignment(DIGITS, clusters=[10], seeds=[1], out=tmp_path, options=SMALL)
    other = SMALL | {"model.clusterer.max_iters": 3}
    with pytest.raises(ConfigError, match="holds results of another model"):
        initial_alignment(DIGITS, clusters=[10], seeds=[2], out=tmp_path, options=other)
    with (tmp_path / "initial_alignment.jsonl").open("a") as file:
        file.write("no json\n")
    with pytest.raises(ConfigError, match=r"initial_alignment.jsonl, line 2 is no JSON"):
        initial_alignment(DIGITS, clusters=[10], seeds=[2], out=tmp_path, options=SMALL)


def test_no_labels_no_alignment_r39(tmp_path):
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    options = {"data_root": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"this data set has none: use a labelled one"):
        initial_alignment(DIGITS, seeds=[1], options=options)
    with pytest.raises(ConfigError, match=r"this data set has none: use a labelled one"):
        rank_by_initial_alignment(DIGITS, "model.num_clusters", [2, 3], options=options)


@pytest.mark.parametrize("number", [1, 1438])
def test_k_that_does_not_fit(number):
    with pytest.raises(ConfigError, match=rf"--clusters {number}: must be between 2 and the 1437"):
        initial_alignment(DIGITS, clusters=[number], seeds=[1])


def test_super_clusters_share_the_clusters_out():
    options = SMALL | {"model.num_clusters": 12}
    with pytest.raises(ConfigError, match=r"10 clusters cannot be dealt to .*super_clusters=3"):
        initial_alignment(deeper(), clusters=[10], seeds=[1], options=options)


def test_images_that_do_not_fit_the_model():
    pipeline = [dict(type="Resize", size=20), dict(type="PILToTensor")]
    with pytest.raises(ConfigError, match=r"do not fit the model: .*32x32 pixels, got 20x20"):
        initial_alignment(DIGITS, seeds=[1], options={"eval_pipeline": pipeline})


def test_values_are_ranked_by_their_medians_r39(tmp_path, passes):
    key = "model.clusterer.max_iters"
    options = dict(seeds=[1, 2, 3], out=tmp_path, options=SMALL)
    ranking = rank_by_initial_alignment(DIGITS, key, [1, 20], **options)
    medians = [entry["median"] for entry in ranking]
    assert medians == sorted(medians, reverse=True)
    assert {entry["value"] for entry in ranking} == {1, 20}
    for entry in ranking:
        assert entry["median"] == np.median(entry["alignments"])
        value = initial_alignment(DIGITS, seeds=[1], options=SMALL | {key: entry["value"]})
        assert value["values"][0]["nmi"] == entry["alignments"][0]
    written = json.loads((tmp_path / "ranking.json").read_text())
    assert written["ranking"] == ranking and written["rank_by"] == "nmi"
    passes.clear()
    assert rank_by_initial_alignment(DIGITS, key, [1, 20], **options) == ranking
    assert passes == []


def test_rankings_that_make_no_sense():
    with pytest.raises(ConfigError, match=r"--rank-by must be one of nmi, .*, got 'ari'"):
        rank_by_initial_alignment(DIGITS, "model.num_clusters", [5, 6], rank_by="ari")
    with pytest.raises(ConfigError, match=r"--values model.num_clusters: needs at least two"):
        rank_by_initial_alignment(DIGITS, "model.num_clusters", [5, 5])


def test_without_matplotlib_all_but_the_figure_is_there(tmp_path, monkeypatch, caplog):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    initial_alignment(DIGITS, clusters=[10], seeds=[1], out=tmp_path, options=SMALL)
    assert (tmp_path / "initial_alignment.json").exists()
    assert not (tmp_path / "initial_alignment.png").exists()


OPTIONS = ["--cfg-options", "dataset.split=test"]


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(DIGITS), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")


def test_the_tool_measures(tmp_path, monkeypatch, capsys):
    run_tool(monkeypatch, "--clusters", 5, 8, "--seeds", "1-2,4", "--out", tmp_path, *OPTIONS)
    lines = [json.loads(line) for line in (tmp_path / "initial_alignment.jsonl").open()]
    assert {(line["seed"], line["num_clusters"]) for line in lines} == {
        (seed, k) for seed in (1, 2, 4) for k in (5, 8)
    }
    assert "nmi_above_chance" in capsys.readouterr().out


def test_the_tool_ranks(tmp_path, monkeypatch, capsys):
    options = ["--values", "model.num_clusters=5,50", "--seeds", "1,2", "--rank-by", "ami"]
    run_tool(monkeypatch, *options, "--out", tmp_path, *OPTIONS)
    ranking = json.loads((tmp_path / "ranking.json").read_text())["ranking"]
    assert {entry["value"] for entry in ranking} == {5, 50}
    assert "model.num_clusters: median ami of 2 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "a"], "'a' is not like 1-20"),
        (["--seeds", "5-1"], "'5-1' names no seed"),
        (["--values", "model.num_clusters"], "is not like key=v1,v2"),
        (["--values", "a.b=1,2", "--clusters", "5"], "--values takes K from the config"),
    ],
)
def test_the_tool_refuses_what_it_cannot_read(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *arguments)
    assert message in capsys.readouterr().err
