import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mmdeepcluster.evaluation import KNN_PROTOCOL, knn, knn_accuracy, knn_classify, protocol_id


def blobs(num_samples, seed, num_classes=4, width=6, noise=1.5):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(num_classes, width, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(num_classes, (num_samples,), generator=generator)
    return centers[labels] + noise * torch.randn(num_samples, width, generator=generator), labels


def at(*degrees):
    angles = torch.tensor([math.radians(angle) for angle in degrees])
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def sklearn_predictions(train, labels, test, k, temperature):
    # on unit vectors the squared distance is 2 - 2 cosine
    classifier = KNeighborsClassifier(
        k, weights=lambda distance: np.exp((1 - distance**2 / 2) / temperature), algorithm="brute"
    )
    unit = [(x / x.norm(dim=1, keepdim=True)).double().numpy() for x in (train, test)]
    return classifier.fit(unit[0], labels.numpy()).predict(unit[1])


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.07), (20, 1.0)])
def test_equal_to_sklearn_r68(k, temperature):
    (train, labels), (test, _) = blobs(150, 0), blobs(90, 1)
    ours = knn_classify(train, labels, test, k=k, temperature=temperature)
    expected = sklearn_predictions(train, labels, test, k, temperature)
    assert ours.tolist() == expected.tolist()


def test_leave_one_out_equals_sklearn_without_that_sample():
    train, labels = blobs(60, 2)
    ours = knn_classify(train, labels, k=7)
    for index in range(60):
        others = torch.arange(60) != index
        expected = sklearn_predictions(
            train[others], labels[others], train[index : index + 1], 7, 0.07
        )
        assert ours[index] == expected[0]


def test_four_points_by_hand():
    # nearest of 0 degrees: 10 (class 5), then 20 and 25 (class 2). One near vote wins at a low
    # temperature, two votes win at a high one.
    train, labels = at(10, 20, 25, 180), torch.tensor([5, 2, 2, 9])
    assert knn_classify(train, labels, at(0), k=1).tolist() == [5]
    assert knn_classify(train, labels, at(0), k=3, temperature=0.01).tolist() == [5]
    assert knn_classify(train, labels, at(0), k=3, temperature=1.0).tolist() == [2]
    assert knn_accuracy(train, labels, at(0, 170), torch.tensor([5, 2]), k=1) == 0.5


def test_a_sample_never_votes_for_itself():
    # pairs of other classes: each is nearest to itself, then to its partner
    features, labels = at(0, 1, 90, 91), torch.tensor([0, 1, 0, 1])
    assert knn_accuracy(features, labels, k=1) == 0
    assert knn_accuracy(features, labels, features, labels, k=1) == 1


def test_duplicates_of_a_sample_do_vote():
    features = at(0, 0, 90, 90)
    assert knn_accuracy(features, torch.tensor([0, 0, 1, 1]), k=1) == 1


def test_length_of_features_does_not_matter():
    train, labels = blobs(80, 3)
    scales = torch.rand(80, 1, generator=torch.Generator().manual_seed(4)) * 100 + 0.01
    expected = knn_classify(train, labels, k=5)
    assert torch.equal(knn_classify(train * scales, labels, k=5), expected)


@pytest.mark.parametrize("chunk_rows", [1, 7, 60, 1000])
def test_chunks_do_not_change_the_answer(chunk_rows):
    train, labels = blobs(60, 5)
    expected = knn_classify(train, labels, k=9)
    assert torch.equal(knn_classify(train, labels, k=9, chunk_rows=chunk_rows), expected)


def test_memory_is_bounded_whatever_the_number_of_rows(monkeypatch):
    monkeypatch.setattr(knn, "_CHUNK_ELEMENTS", 1000)
    seen = []
    topk = torch.Tensor.topk
    monkeypatch.setattr(
        torch.Tensor, "topk", lambda x, *a, **b: (seen.append(x.numel()), topk(x, *a, **b))[1]
    )
    train, labels = blobs(200, 6)
    knn_classify(train, labels)
    assert len(seen) == 40
    assert max(seen) <= 1000


def test_small_temperatures_do_not_overflow_and_ids_may_have_gaps():
    train, labels = blobs(50, 7)
    low = knn_classify(train, labels * 10**9, k=5, temperature=1e-4)
    assert torch.equal(low, knn_classify(train, labels, k=1) * 10**9)


def test_half_precision_features_are_compared_in_fp32():
    train, labels = blobs(60, 8)
    half = train.half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = knn_classify(half, labels, k=5)
    assert torch.equal(inside, knn_classify(half.float(), labels, k=5))


def test_all_neighbours_may_vote_and_no_more():
    train, labels = blobs(10, 9)
    knn_classify(train, labels, k=9)
    knn_classify(train, labels, train, k=10)
    with pytest.raises(ValueError, match=r"k=10 must be between 1 and the 9 neighbours"):
        knn_classify(train, labels, k=10)
    with pytest.raises(ValueError, match=r"k=11 .* the 10 neighbours .* evaluation\.knn_k"):
        knn_classify(train, labels, train, k=11)
    with pytest.raises(ValueError, match=r"k=0 must be"):
        knn_classify(train, labels, k=0)


def test_protocol_id():
    assert KNN_PROTOCOL == "knn20-cosine-t0.07"
    assert protocol_id(200, 0.1) == "knn200-cosine-t0.1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(train_labels=torch.zeros(9).long()), r"one class per row .* \(9,\) for 10"),
        (
            dict(train_labels=torch.full((10,), -1)),
            "integers >= 0, got torch.int64 with minimum -1",
        ),
        (dict(train_labels=torch.zeros(10)), "integers >= 0, got torch.float32"),
        (dict(train_features=torch.full((10, 6), math.inf)), "train_features hold NaN or infinity"),
        (dict(test_features=torch.ones(3, 5)), "test_features have 5 dimensions, train_features 6"),
        (dict(test_features=torch.full((3, 6), math.nan)), "test_features hold NaN"),
        (dict(temperature=0.0), r"temperature must be > 0, got 0\.0"),
        (dict(chunk_rows=0), "chunk_rows must be >= 1, got 0"),
    ],
)
def test_senseless_input_is_refused(changes, message):
    features, labels = blobs(10, 10)
    with pytest.raises(ValueError, match=message):
        knn_classify(**(dict(train_features=features, train_labels=labels, k=3) | changes))


def test_features_and_labels_of_the_test_go_together():
    features, labels = blobs(30, 11)
    with pytest.raises(ValueError, match="go together, got only test_features"):
        knn_accuracy(features, labels, features)
    with pytest.raises(ValueError, match="go together, got only test_labels"):
        knn_accuracy(features, labels, test_labels=labels)
    with pytest.raises(ValueError, match=r"got shape \(29,\) for 30 test_features"):
        knn_accuracy(features, labels, features, labels[:29])
