"""One rule of assignment for training, export and new images."""

import pytest
import torch
from sklearn.decomposition import PCA

from mmdeepcluster.clustering import Assigner, l2_normalize, nearest_centroid


def test_distance_and_margin_by_hand():
    # Centroids at 0 and 10 on a line: 3 lies 3 from the first and 7 from the second.
    assigner = Assigner(torch.tensor([[0.0], [10.0]]), normalize=False)
    cluster, distance, margin = assigner.assign(torch.tensor([[3.0], [8.0], [5.0]]))
    assert cluster.tolist() == [0, 1, 0]  # the tie goes to the lowest index
    torch.testing.assert_close(distance, torch.tensor([3.0, 2.0, 5.0]))
    torch.testing.assert_close(margin, torch.tensor([4.0, 6.0, 0.0]))


def test_metrics_differ_when_centroid_norms_differ():
    # requirements.md section 0.2: the long centroid wins the product, the near one the distance.
    centroids = torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    rows = torch.tensor([[1.0, 0.2]])
    assert nearest_centroid(rows, centroids, "l2").tolist() == [0]
    assert nearest_centroid(rows, centroids, "dot").tolist() == [1]
    result = Assigner(centroids, metric="dot", normalize=False).assign(rows)
    torch.testing.assert_close(result.distance, torch.tensor([-3.6]))
    torch.testing.assert_close(result.margin, torch.tensor([2.6]))


def test_nearest_is_brute_force_in_tiles(monkeypatch):
    import mmdeepcluster.clustering.functional as functional

    monkeypatch.setattr(functional, "_TILE_ELEMENTS", 64)
    rng = torch.Generator().manual_seed(0)
    rows, centroids = torch.randn(101, 5, generator=rng), torch.randn(13, 5, generator=rng)
    brute = torch.cdist(rows.double(), centroids.double()).argmin(dim=1)
    assert torch.equal(nearest_centroid(rows, centroids), brute)
    allowed = torch.arange(13) % 2 == 0
    brute = torch.cdist(rows.double(), centroids.double())[:, allowed].argmin(dim=1) * 2
    assert torch.equal(nearest_centroid(rows, centroids, allowed=allowed), brute)


def test_transform_is_that_of_pca():
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 6, generator=rng) @ torch.randn(6, 6, generator=rng)
    pca = PCA(3, whiten=True).fit(rows.numpy())
    projection = torch.from_numpy(pca.components_ / pca.explained_variance_[:, None] ** 0.5).T
    assigner = Assigner(
        torch.eye(3), mean=torch.from_numpy(pca.mean_), projection=projection.float()
    )
    expected = l2_normalize(torch.from_numpy(pca.transform(rows.numpy())).float())
    torch.testing.assert_close(assigner.transform(rows), expected, atol=1e-4, rtol=1e-4)


def test_state_round_trip_holds_tensors_alone(tmp_path):
    assigner = Assigner(torch.randn(4, 3), metric="dot", normalize=False)
    torch.save(assigner.state_dict(), tmp_path / "assigner.pth")
    state = torch.load(tmp_path / "assigner.pth", weights_only=True)
    again = Assigner.from_state_dict(state)
    rows = torch.randn(20, 3)
    for first, second in zip(assigner.assign(rows), again.assign(rows), strict=True):
        assert torch.equal(first, second)


def test_zero_rows_and_errors():
    assigner = Assigner(torch.eye(3))
    assert torch.equal(assigner.transform(torch.zeros(1, 3)), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"features must be \(N, 3\), got \(2, 4\)"):
        assigner.assign(torch.randn(2, 4))
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 2 rows"):
        assigner.assign(torch.tensor([[1.0, 0, 0], [float("inf"), 0, 0]]))
    with pytest.raises(ValueError, match="metric must be one of"):
        Assigner(torch.eye(3), metric="cosine")
    with pytest.raises(ValueError, match="given together"):
        Assigner(torch.eye(3), mean=torch.zeros(3))
