import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from mmdeepcluster.evaluation import retrieval


def at_angles(*degrees):
    radians = torch.tensor([math.radians(angle) for angle in degrees])
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_hand_computed_leave_one_out():
    # On a circle at 0, 10, 25, 52 degrees, classes a b a b.
    result = retrieval(at_angles(0, 10, 25, 52), torch.tensor([0, 1, 0, 1]))
    # Rankings: 0: b a b, 1/2. 10: a a b, 1/3. 25: b a b, 1/2. 52: a b a, 1/2.
    assert result.mean_ap == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert result.precision_at_1 == 0.0
    assert (result.num_queries, result.num_without) == (4, 0)
    assert result.protocol == "retrieval-cosine-leave-one-out"


def test_hand_computed_query_and_gallery():
    gallery, labels = at_angles(0, 20, 50, 90), torch.tensor([0, 1, 0, 1])
    # Query at 5 of class 0: ranking 0 1 0 1, (1 + 2/3) / 2. Query at 80 of class 1: 1 0 1 0.
    result = retrieval(gallery, labels, 7 * at_angles(5, 80), torch.tensor([0, 1]))
    assert result.mean_ap == pytest.approx((1 + 2 / 3) / 2)
    assert result.precision_at_1 == 1.0


def test_agrees_with_sklearn_r68():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator)
    labels = torch.randint(0, 4, (60,), generator=generator)
    unit = features / features.norm(dim=1, keepdim=True)
    similarity = (unit @ unit.T).numpy()
    expected = [
        average_precision_score(
            np.delete((labels == labels[i]).numpy(), i), np.delete(similarity[i], i)
        )
        for i in range(60)
    ]
    result = retrieval(features, labels)
    assert result.mean_ap == pytest.approx(np.mean(expected), abs=1e-6)
    in_parts = retrieval(features, labels, chunk_rows=7)
    assert in_parts.mean_ap == pytest.approx(result.mean_ap, rel=1e-12)
    assert in_parts.precision_at_1 == result.precision_at_1


def test_a_class_of_one_image_is_left_out():
    result = retrieval(at_angles(0, 10, 90), torch.tensor([0, 0, 5]))
    assert (result.num_queries, result.num_without, result.mean_ap) == (2, 1, 1.0)
    with pytest.raises(ValueError, match="none of 2 queries"):
        retrieval(at_angles(0, 10), torch.tensor([0, 1]))


def test_refusals():
    with pytest.raises(ValueError, match="go together"):
        retrieval(at_angles(0, 10), torch.tensor([0, 0]), at_angles(5))
    with pytest.raises(ValueError, match="3 dimensions, the gallery 2"):
        retrieval(at_angles(0, 10), torch.tensor([0, 0]), torch.ones(1, 3), torch.tensor([0]))
