from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mmdeepcluster.evaluation import PROBE_PROTOCOLS, pick, probe_layers

SHORT = replace(PROBE_PROTOCOLS["linear-odc"], epochs=3, steps=(2,), batch_size=64)


@pytest.fixture(scope="module")
def digits():
    """Two layers of 600 digits to learn from and 300 to test on: pixels, and their squares."""
    data = load_digits()
    pixels, labels = torch.from_numpy(data.data).float() / 16, torch.from_numpy(data.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order[:600], order[600:900]

    def both(rows):
        return {"pixels": pixels[rows], "coarse": pixels[rows][:, ::4]}

    return both(train), labels[train], both(test), labels[test]


def test_published_settings_r62_r63():
    odc = PROBE_PROTOCOLS["linear-odc"]
    assert [odc.lr_of(e) for e in (0, 29, 30, 60, 99)] == pytest.approx(
        [0.01, 0.01, 1e-3, 1e-4, 1e-5]
    )
    assert (odc.epochs, odc.batch_size, odc.weight_decay, odc.nesterov) == (100, 256, 1e-4, True)
    gap = PROBE_PROTOCOLS["gap-openmmlab"]
    assert [gap.lr_of(e) for e in (0, 59, 60, 80)] == pytest.approx([30, 30, 3, 0.3])
    assert gap.weight_decay == 0 and not gap.batch_norm
    swav = PROBE_PROTOCOLS["gap-swav"]
    assert swav.lr_of(0) == 0.3 and swav.lr_of(50) == pytest.approx(0.15)
    ids = [protocol.id for protocol in PROBE_PROTOCOLS.values()]
    assert len(set(ids)) == len(ids)
    assert odc.id == "linear-bn-e100-lr0.01-step30-60-90x0.1-m0.9n-wd0.0001-b256-cached"
    assert odc.shortened(10).steps == (3, 6, 9) and odc.shortened(10).id != odc.id


def test_all_layers_in_one_pass_are_as_if_alone_r62(digits):
    train, labels, test, truth = digits
    together = probe_layers(train, labels, test, truth, SHORT)
    for score in together.scores:
        name = score.layer
        alone = probe_layers({name: train[name]}, labels, {name: test[name]}, truth, SHORT)
        assert alone.scores == (score,)
    assert probe_layers(train, labels, test, truth, SHORT) == together
    assert probe_layers(train, labels, test, truth, SHORT, seed=1) != together


def test_the_best_layer_is_named_r66(digits):
    result = probe_layers(*digits, SHORT)
    assert [score.layer for score in result.scores] == ["pixels", "coarse"]
    assert result.best.layer == "pixels" and result.best.top1 > result.scores[1].top1
    assert result.best.top5 > result.best.top1
    assert (result.num_train, result.num_test, result.num_classes) == (600, 300, 10)


def test_agrees_with_sklearn_r62(digits):
    train, labels, test, truth = digits
    x, y = train["pixels"], test["pixels"]
    mean, std = x.mean(0), (x.var(0, correction=0) + 1e-5).sqrt()
    weight_decay = 1e-2
    exact = LogisticRegression(C=1 / (weight_decay * len(labels)), max_iter=1000)
    exact.fit(((x - mean) / std).numpy(), labels.numpy())
    expected = exact.score(((y - mean) / std).numpy(), truth.numpy())
    # Full batches, so that batch norm's statistics are those of all images.
    protocol = replace(
        SHORT, epochs=200, steps=(150,), lr=0.1, weight_decay=weight_decay, batch_size=600
    )
    found = probe_layers({"x": x}, labels, {"x": y}, truth, protocol).best
    assert found.top1 == pytest.approx(expected, abs=0.01)
    assert found.train_top1 > 0.97


def test_batch_norm_makes_scale_irrelevant(digits):
    train, labels, test, truth = digits
    scaled = [{"pixels": 1000 * rows["pixels"] + 3} for rows in (train, test)]
    found = probe_layers(scaled[0], labels, scaled[1], truth, SHORT).best
    plain = probe_layers(
        {"pixels": train["pixels"]}, labels, {"pixels": test["pixels"]}, truth, SHORT
    ).best
    assert found.top1 == pytest.approx(plain.top1, abs=0.02)


def test_a_class_never_seen_is_never_right(digits):
    train, labels, test, truth = digits
    kept = labels < 9
    some = {name: rows[kept] for name, rows in train.items()}
    nines = truth == 9
    only = {name: rows[nines] for name, rows in test.items()}
    result = probe_layers(some, labels[kept], only, truth[nines], SHORT)
    assert result.best.top1 == 0.0 and result.num_classes == 9


def test_refusals(digits):
    train, labels, test, truth = digits
    with pytest.raises(ValueError, match="same layers"):
        probe_layers(train, labels, {"pixels": test["pixels"]}, truth, SHORT)
    with pytest.raises(ValueError, match="16 dimensions"):
        probe_layers({"x": train["pixels"]}, labels, {"x": test["coarse"]}, truth, SHORT)
    with pytest.raises(ValueError, match="one class per row"):
        probe_layers(train, labels[:-1], test, truth, SHORT)
    with pytest.raises(ValueError, match=r"did you mean 'linear-odc'.*Choices: linear-odc, lin"):
        pick(PROBE_PROTOCOLS, "linear_odc", "protocol")
