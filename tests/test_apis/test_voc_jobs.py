import json

import numpy as np
import pytest

from mmdeepcluster.apis import voc_low_shot, voc_svm
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.evaluation import (
    COST_LISTS,
    VocLabels,
    cross_validate,
    fit_and_test,
    normalize_rows,
    svm_rows,
)

CLASSES = ("cat", "dog")
COSTS = (0.1, 1.0, 10.0)


@pytest.fixture(autouse=True)
def short_list(monkeypatch):
    monkeypatch.setitem(COST_LISTS, "short", COSTS)


SHORT = {"cost_list": "short"}


def made(num_rows, seed, shift=1.0):
    """Images of two classes, one of ten difficult."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1], (num_rows, 2), p=[0.3, 0.1, 0.6]).astype(np.int8)
    rows = rng.normal(size=(num_rows, 6))
    rows[:, :2] += shift * (labels == 1)
    ids = tuple(f"{seed}_{number}" for number in range(num_rows))
    return rows.astype(np.float32), VocLabels(ids, CLASSES, labels)


@pytest.fixture(scope="module")
def sets():
    return (*made(120, 0), *made(80, 1))


def test_svm_is_the_best_cost_of_each_class_r64(sets):
    rows, labels, test, truth = sets
    result = voc_svm(*sets, **SHORT)
    unit, unit_test = normalize_rows(rows), normalize_rows(test)
    for column, name in enumerate(CLASSES):
        target = labels.labels[:, column]
        cost = result.costs[name]
        scores = [cross_validate(unit, target, c).value for c in (cost, *COSTS)]
        assert scores[0] == max(scores)
        tests = [(unit_test, truth.labels[:, column])]
        assert result.per_class[name] == fit_and_test(unit, target, tests, cost)[0].value
    assert result.mean_ap == pytest.approx(np.mean(list(result.per_class.values())))
    assert result.protocol == "voc-svm-l2-w2-cv3-short3-apinterp"


def test_equal_results_for_any_number_of_workers_r64(sets):
    assert voc_svm(*sets, num_workers=2, **SHORT) == voc_svm(*sets, **SHORT)
    few = {"shots": (1,), "samples": 2, **SHORT}
    assert voc_low_shot(*sets, num_workers=2, **few) == voc_low_shot(*sets, **few)


def test_a_killed_run_goes_on(sets, tmp_path, monkeypatch):
    path = tmp_path / "svm.jsonl"
    whole = voc_svm(*sets, results=path, **SHORT)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 2 * 3 + 2
    path.write_text("".join(lines[:4]) + lines[4][:20])
    calls = []
    original = cross_validate
    monkeypatch.setattr(
        svm_rows,
        "cross_validate",
        lambda *arguments: calls.append(arguments) or original(*arguments),
    )
    assert voc_svm(*sets, results=path, **SHORT) == whole
    assert len(calls) == 2 * 3 - 4
    calls.clear()
    assert voc_svm(*sets, results=path, **SHORT) == whole and not calls


def test_results_of_other_features_are_refused(sets, tmp_path):
    path = tmp_path / "svm.jsonl"
    rows, labels, test, truth = sets
    voc_svm(*sets, results=path, **SHORT)
    with pytest.raises(ConfigError, match="other features or labels: remove it"):
        voc_svm(rows + 1, labels, test, truth, results=path, **SHORT)


def test_low_shot_is_reproducible_and_protocols_share_the_fits_r65(sets, tmp_path):
    path = tmp_path / "few.jsonl"
    few = {"shots": (1, 2), "samples": 3, "results": path, **SHORT}
    goyal = voc_low_shot(*sets, **few)
    lines = len(path.read_text().splitlines())
    assert lines == 2 * 3 * 2
    holdout = voc_low_shot(*sets, protocol="holdout", **few)
    assert len(path.read_text().splitlines()) == lines
    # The test images know best what the best cost on them is.
    for optimistic, fair in zip(goyal.scores, holdout.scores, strict=True):
        assert optimistic.mean_ap >= fair.mean_ap
    assert goyal.grand_mean == pytest.approx(np.mean([s.mean_ap for s in goyal.scores]))
    assert voc_low_shot(*sets, seed=1, **few) != goyal
    assert json.loads(path.read_text().splitlines()[0])["task"][0] == "low-shot"


def test_published_draws_are_used_r65(sets):
    rows, labels, test, truth = sets
    array = np.full(labels.labels.shape, -1)
    chosen = {}
    for column in range(2):
        target = labels.labels[:, column]
        chosen[column] = [*np.flatnonzero(target == 1)[:2], *np.flatnonzero(target == -1)[:38]]
        array[chosen[column], column] = (target[chosen[column]] == 1).astype(int)
    result = voc_low_shot(*sets, shots=(2,), samples=1, drawn={(1, 2): array}, **SHORT)
    (score,) = result.scores
    unit, unit_test = normalize_rows(rows), normalize_rows(test)
    found = []
    for column, drawn in chosen.items():
        drawn = np.sort(drawn)
        tests = [(unit_test, truth.labels[:, column])]
        target = labels.labels[drawn, column]
        found.append(fit_and_test(unit[drawn], target, tests, score.cost)[0].value)
    assert score.mean_ap == pytest.approx(np.mean(found))
    with pytest.raises(ConfigError, match="1 samples of k=2"):
        voc_low_shot(*sets, shots=(2,), samples=2, drawn={(1, 2): array}, **SHORT)


def test_refusals(sets):
    rows, labels, test, truth = sets
    with pytest.raises(ConfigError, match=r"unknown cost list 'oss'.*Choices: openselfsup, fair"):
        voc_svm(*sets, cost_list="oss")
    with pytest.raises(ConfigError, match="same classes"):
        voc_svm(rows, labels.only(["cat"]), test, truth)
    with pytest.raises(ConfigError, match="not one row for each of 120"):
        voc_svm(rows[1:], labels, test, truth)
    none = VocLabels(truth.ids, CLASSES, np.minimum(truth.labels, [[0, 1]]).astype(np.int8))
    with pytest.raises(ConfigError, match="no test image shows cat"):
        voc_svm(rows, labels, test, none)
    with pytest.raises(ConfigError, match=r"class 'cat'.*k=50 needs"):
        voc_low_shot(*sets, shots=(50,))
    with pytest.raises(ConfigError, match="num_workers must be >= 1"):
        voc_svm(*sets, num_workers=0)
