"""Cards of LeNet-5 on the bundled digits."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdeepcluster.apis import (
    deepercluster_report,
    evaluate_card,
    read_cards,
    results_markdown,
    voc_svm,
    with_papers,
)
from mmdeepcluster.apis.feature_cache import cached_features, view_of
from mmdeepcluster.datasets import Digits, build_eval_loader
from mmdeepcluster.engine import ConfigError, load_source, state_digest
from mmdeepcluster.evaluation import (
    PROBE_PROTOCOLS,
    knn_accuracy,
    probe_layers,
    read_voc_labels,
    retrieval,
)
from mmdeepcluster.models import extract

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "odc" / "odc_lenet5_digits.py"
TEST = {"type": "Digits", "split": "test"}  # 360 images
LOADER = {"batch_size": 128, "num_workers": 0}


def benchmark(**changes):
    made = {
        "data": "digits",
        "train": TEST,
        "test": TEST,
        "eval_dataloader": LOADER,
        "protocols": ["linear-odc", "gap-swav", "knn", "clustering", "retrieval", "label-free"],
        "probe_epochs": 2,
        "knn_k": [5],
    }
    return Config(made | changes)


def values(card, kind, metric):
    return [r for r in card["results"] if (r["kind"], r["metric"]) == (kind, metric)]


@pytest.fixture(scope="module")
def network():
    return load_source(CONFIG).model


@pytest.fixture(scope="module")
def features(network):
    pipeline = Config.fromfile(CONFIG).eval_pipeline
    view = view_of(Digits("test"), pipeline)
    return extract(network, build_eval_loader(view, **LOADER), ("backbone", "relu_1.grid28"))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("cards") / "untrained"


@pytest.fixture(scope="module")
def card(out):
    return evaluate_card(CONFIG, [benchmark()], out, name="untrained LeNet-5")


def test_numbers_are_those_of_the_functions_r62_r68(card, features):
    labels = torch.from_numpy(Digits("test").eval_labels)
    rows = features["backbone"]
    (knn,) = values(card, "knn", "top1")
    assert knn["value"] == knn_accuracy(rows, labels, rows, labels, k=5)
    assert knn["protocol"] == "knn5-cosine-t0.07" and knn["layer"] == "backbone"
    found = {row["protocol"]: row["value"] for row in values(card, "retrieval", "map")}
    assert found["retrieval-cosine-leave-one-out"] == retrieval(rows, labels).mean_ap
    assert set(found) == {"retrieval-cosine-leave-one-out", "retrieval-cosine-query-gallery"}
    (gap,) = values(card, "gap-swav", "top1")
    assert gap["protocol"] == "gap-e2-lr0.3-cos-m0.9-wd1e-06-b256-cached"


def test_probes_of_all_layers_with_the_best_one_r62_r66(card, features):
    rows = values(card, "linear-odc", "top1")
    assert [row["layer"] for row in rows] == ["relu_1.grid28", "relu_2.grid10"]
    assert sum(row["best"] for row in rows) == 1
    assert max(rows, key=lambda row: row["value"])["best"]
    assert rows[0]["protocol"].endswith("-cached-near9000")
    labels = torch.from_numpy(Digits("test").eval_labels)
    one = {"relu_1.grid28": features["relu_1.grid28"]}
    protocol = PROBE_PROTOCOLS["linear-odc"].shortened(2)
    from mmdeepcluster.engine import derive_seed

    seed = derive_seed(0, "linear-odc") % 2**31
    alone = probe_layers(one, labels, one, labels, protocol, seed=seed).best
    assert rows[0]["value"] == alone.top1


def test_quality_without_labels_r69(card):
    names = {row["metric"] for row in card["results"] if row["kind"] == "label-free"}
    assert names == {
        "rank_me",
        "spread",
        "effective_clusters",
        "largest_share",
        "nmi_between_seeds",
        "change_between_seeds",
    }


def test_collapsed_features_raise_the_alarm_r69(tmp_path):
    source = load_source(CONFIG)
    with torch.no_grad():
        source.model.backbone.get_submodule("conv2").weight.zero_()
    path = tmp_path / "collapsed.pth"
    state = {f"backbone.{k}": v for k, v in source.model.backbone.state_dict().items()}
    state |= {f"neck.{k}": v for k, v in source.model.neck.state_dict().items()}
    torch.save({"state_dict": state}, path)
    made = benchmark(protocols=["label-free"], num_clusters=4)
    card = evaluate_card(CONFIG, [made], tmp_path / "card", checkpoint=path)
    assert "constant_features" in (tmp_path / "card" / "card.md").read_text()
    assert not (values(card, "label-free", "spread")[0]["value"] > 0.1)


def test_the_card_says_how_it_came_about(card, out, network):
    assert (
        card["network_sha256"] == state_digest(network.state_dict()) and card["network_unchanged"]
    )
    assert card["model"]["checkpoint"] is None and card["model"]["method"] == "ODC"
    assert card["versions"]["torch"] == torch.__version__ and card["hardware"]["device"]
    assert json.loads((out / "card.json").read_text())["results"] == card["results"]
    text = (out / "card.md").read_text()
    assert "# untrained LeNet-5" in text and "knn5-cosine-t0.07" in text
    assert "Grayscale, Resize(size=32), CenterCrop(size=32)" in text
    assert "## Best layer" in text and "(best)" in text
    for row in card["results"]:
        assert {"data", "protocol", "metric", "layer", "value", "seconds"} <= set(row)


def test_a_second_card_uses_the_features_again(card, out, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("extracted again")

    module = sys.modules[cached_features.__module__]
    monkeypatch.setattr(module, "extract", forbidden)
    again = evaluate_card(CONFIG, [benchmark()], out, name="untrained LeNet-5")
    assert [r["value"] for r in again["results"]] == [r["value"] for r in card["results"]]


def test_the_cache_knows_its_network_and_adds_layers(network, tmp_path, features):
    view = view_of(Digits("test"), Config.fromfile(CONFIG).eval_pipeline)
    found = cached_features(network, view, ["backbone"], tmp_path, LOADER)
    assert torch.equal(found["backbone"], features["backbone"])
    mapped = np.load(tmp_path / "features_backbone.npy", mmap_mode="r")
    assert mapped.shape == features["backbone"].shape and mapped.dtype == np.float32
    both = cached_features(network, view, ["backbone", "relu_1.grid28"], tmp_path, LOADER)
    assert torch.equal(both["relu_1.grid28"], features["relu_1.grid28"])
    other = load_source(CONFIG, seed=1).model
    changed = cached_features(other, view, ["backbone"], tmp_path, LOADER)
    assert not torch.equal(changed["backbone"], features["backbone"])
    with pytest.raises(ConfigError, match=r"unknown layers \['relu_9'\]; this model has \['neck'"):
        cached_features(network, view, ["relu_9"], tmp_path, LOADER)


def test_a_network_that_changes_is_noticed_r62(network, tmp_path, monkeypatch):
    view = view_of(Digits("test"), Config.fromfile(CONFIG).eval_pipeline)
    changing = load_source(CONFIG).model
    module = sys.modules[cached_features.__module__]
    original = module.extract

    def step_meanwhile(*args, **kwargs):
        with torch.no_grad():
            next(changing.backbone.parameters()).add_(1e-3)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "extract", step_meanwhile)
    with pytest.raises(RuntimeError, match="the network changed"):
        cached_features(changing, view, ["backbone"], tmp_path, LOADER)


def test_fine_tuning_with_few_labels_r68(tmp_path, network):
    before = state_digest(network.state_dict())
    changes = {"protocols": ["semi-10"], "finetune": {"epochs": 2, "batch_size": 16}}
    cards = [evaluate_card(CONFIG, [benchmark(**changes)], tmp_path) for _ in range(2)]
    rows = [values(card, "semi-10", "top1")[0] for card in cards]
    assert rows[0]["value"] == rows[1]["value"]
    sizes = np.bincount(Digits("test").eval_labels)
    assert rows[0]["details"]["num_labelled"] == np.round(0.1 * sizes).sum() == 39
    assert rows[0]["protocol"].startswith("finetune10%-e2-") and "-b16-" in rows[0]["protocol"]
    assert {card["network_sha256"] for card in cards} == {before}


@pytest.fixture
def voc(tmp_path):
    """60 digits as photographs; class "even", and "big" of two images."""
    folder = tmp_path / "voc"
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    digits = Digits("test")
    for split, numbers in (("A", range(30)), ("B", range(30, 60))):
        lines = {"even": [], "big": []}
        for number in numbers:
            digits.load_image(number).save(folder / "JPEGImages" / f"d{number}.jpg")
            label = digits.eval_labels[number]
            lines["even"].append(f"d{number} {1 if label % 2 == 0 else -1}")
            lines["big"].append(f"d{number} {1 if number % 30 == 0 else -1}")
        for name, text in lines.items():
            path = folder / "ImageSets" / "Main" / f"{name}_{split}.txt"
            path.write_text("\n".join(text) + "\n")
    return folder


def test_voc_protocols_on_a_folder_r64_r65(voc, tmp_path, network):
    where = {"root": str(voc), "train_split": "A", "test_split": "B", "min_images": 3}
    made = benchmark(data="voc", protocols=["voc-svm"], voc=where)
    for key in ("train", "test"):
        made.pop(key)
    card = evaluate_card(CONFIG, [made], tmp_path / "card")
    (row,) = values(card, "voc-svm", "map")
    assert row["protocol"] == "voc-svm-l2-w2-cv3-openselfsup19-apinterp"
    assert list(row["details"]["per_class"]) == ["even"]  # two images show "big"
    halves = [read_voc_labels(voc, half).only(["even"]) for half in "AB"]
    folder = tmp_path / "card" / "features" / "voc"
    rows = [np.load(folder / part / "features_backbone.npy") for part in ("voc_train", "voc_test")]
    assert row["value"] == voc_svm(rows[0], halves[0], rows[1], halves[1]).mean_ap
    with pytest.raises(ConfigError, match=r"class 'even'.*needs 38 negative"):
        evaluate_card(
            CONFIG,
            [made],
            tmp_path / "card",
            protocols=["voc-low-shot"],
            benchmark_options={"shots": [2]},
        )


def first_table(text):
    """Cells of the first table, the header first."""
    lines = [line for line in text.split("\n\n")[1].splitlines() if "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_cards_and_papers_in_one_table(card, out, tmp_path):
    other = json.loads((out / "card.json").read_text())
    other["name"], other["network_sha256"] = "other", "0" * 64
    for row in other["results"]:
        if row["kind"] == "knn":
            row["protocol"], row["value"] = "knn20-cosine-t0.07", 0.5
    (tmp_path / "card.json").write_text(json.dumps(other))
    rows = read_cards([out, tmp_path / "card.json"])
    text = results_markdown(rows)
    # Too many columns for a page: models are columns. A row for each protocol id, none with both.
    header, *lines = first_table(text)
    assert header == ["model", card["name"], "other"]
    knn = [line for line in lines if line[0].startswith("knn top1")]
    assert len(knn) == 2 and knn[0][2] == "-" and knn[1][1:] == ["-", "50.00"]
    assert "weighted k nearest neighbours" in text
    few = [row for row in rows if row["family"] == "knn"]
    header, *lines = first_table(results_markdown(few))
    assert [line[0] for line in lines] == [card["name"], "other"] and len(header) == 3
    merged = results_markdown(rows, merge=True)
    knn = [line for line in first_table(merged) if line[0].startswith("knn top1")]
    mark = next(line for line in merged.splitlines() if "`knn20-cosine-t0.07`" in line)
    assert len(knn) == 1 and knn[0][2] == f"50.00 {mark.split('|')[1].strip()}"
    with_all = results_markdown(with_papers(rows, everything=True))
    assert "ODC R50 (paper) (S: ODC paper, Tables 2-3)" in with_all and "57.60 (feat5)" in with_all


def test_papers_rows_are_those_of_the_papers():
    rows = {
        (r["model"], r["data"], r["protocol"], r["layer"]): r["value"]
        for r in with_papers([], everything=True)
    }
    assert rows["ODC R50 (paper)", "imagenet", "paper-odc-linear", "feat5"] == pytest.approx(0.576)
    assert rows["ODC R50 (paper)", "voc07", "paper-voc07-svm", "best"] == pytest.approx(0.782)
    assert len(rows) == len(with_papers([], everything=True)) > 100


def test_deeperclusters_claims_r61(card, out, tmp_path):
    ours, theirs = (json.loads((out / "card.json").read_text()) for _ in range(2))
    for one, shift in ((ours, 0.0), (theirs, 0.1)):
        for row in one["results"]:
            row["data"] = "imagenet"
            row["value"] = 0.3 + shift
    theirs["name"] = "supervised"
    for name, one in (("a", ours), ("b", theirs)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(json.dumps(one))
    text = deepercluster_report(str(tmp_path / "a"), str(tmp_path / "b"))
    assert "relu_1 -10.00, relu_2 -10.00" in text
    assert "not measured: no card has a linear probe on places205" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": ["knnn"]}, r"unknown protocol 'knnn', did you mean 'knn'\? Choices: linear"),
        ({"protocols": []}, "protocols is empty; choices: linear-odc"),
        ({"knn_kk": [5]}, "benchmark.knn_kk: no such key, did you mean 'knn_k'"),
        ({"protocols": ["voc-svm"]}, "'voc-svm' needs 'voc'"),
        ({"voc": {"rot": "x"}}, "voc.rot: no such key, did you mean 'root'"),
        ({"knn_k": [361], "protocols": ["knn"]}, "knn_k=361 exceeds the 360 training images"),
        ({"layer": "relu_9", "protocols": ["knn"]}, r"unknown layers \['relu_9'\]"),
        ({"num_clusters": 400, "protocols": ["clustering"]}, "num_clusters=400 exceeds the 360"),
        (
            {"train": {"type": "ImageFolder", "root": "/nowhere"}, "protocols": ["knn"]},
            r"'/nowhere': set train\.root .* \(--benchmark-options\)",
        ),
        ({"svm_cost_list": "oss"}, "unknown svm_cost_list 'oss'"),
        ({"low_shot_cost": "cv"}, "Choices: goyal, holdout"),
    ],
)
def test_refusals_list_the_choices(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        evaluate_card(CONFIG, [benchmark(**changes)], tmp_path)


def test_labels_missing_for_a_probe(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        Image.new("L", (32, 32), 20 * number).save(folder / f"{number}.png")
    images = {"type": "ImageFolder", "root": str(folder)}
    with pytest.raises(ConfigError, match=r"train images have no labels.*train\.labels='folder'"):
        evaluate_card(CONFIG, [benchmark(train=images, protocols=["knn"])], tmp_path / "card")
    with pytest.raises(ConfigError, match="no labels, which fine-tuning needs"):
        evaluate_card(CONFIG, [benchmark(train=images, protocols=["semi-1"])], tmp_path / "card")
    made = benchmark(train=images, protocols=["label-free"], num_clusters=3)
    made.pop("test")
    assert evaluate_card(CONFIG, [made], tmp_path / "card")["results"]


def test_a_network_of_torchvision_by_name(tmp_path):
    source = load_source("torchvision/resnet18", seed=3)
    weights = source.model.backbone.state_dict() | {"fc.weight": torch.zeros(10, 512)}
    torch.save(weights, tmp_path / "r18.pth")
    small = [
        {"type": "RGB"},
        {"type": "Resize", "size": 32},
        {"type": "CenterCrop", "size": 32},
        {"type": "PILToTensor"},
    ]
    made = benchmark(protocols=["knn"], eval_pipeline=small)
    cards = [
        evaluate_card("torchvision/resnet18", [made], tmp_path / str(number), **options)
        for number, options in enumerate(({"weights": tmp_path / "r18.pth"}, {}))
    ]
    assert cards[0]["network_sha256"] == state_digest(source.model.state_dict())
    assert cards[0]["network_sha256"] != cards[1]["network_sha256"]
    assert cards[0]["model"]["checkpoint_sha256"] and cards[0]["name"] == "resnet18 (r18.pth)"


def test_the_tools(out, card, tmp_path, monkeypatch, capsys):
    tools = ROOT / "tools"
    monkeypatch.syspath_prepend(str(tools))
    bench = tmp_path / "bench.py"
    bench.write_text(
        f"data='digits'\ntrain=test={TEST}\neval_dataloader={LOADER}\n"
        "protocols=['knn']\nknn_k=[5]\n"
    )
    command = ["evaluate_card.py", str(CONFIG), "-b", str(bench), "--out", str(tmp_path / "card")]
    monkeypatch.setattr(sys, "argv", [*command, "--benchmark-options", "knn_k=[3]"])
    runpy.run_path(str(tools / "evaluate_card.py"), run_name="__main__")
    assert "knn3-cosine-t0.07" in capsys.readouterr().out
    table = tmp_path / "table.md"
    command = ["result_table.py", str(out), str(tmp_path / "card"), "--papers", "all"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(table)])
    runpy.run_path(str(tools / "analysis_tools" / "result_table.py"), run_name="__main__")
    assert "odc_lenet5_digits (untrained)" in table.read_text()
