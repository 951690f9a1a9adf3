"""PCA whitening (R4): scikit-learn and fp64 as references, floors, errors, memory maps."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from mmdeepcluster.clustering import Assigner, LinearTransform, PCAWhitening, RowShare, l2_normalize
from mmdeepcluster.clustering.covariance import mean_and_covariance
from mmdeepcluster.clustering.row_share import ROW_TILE
from mmdeepcluster.registry import FEATURE_TRANSFORMS


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(num_rows, dim, seed=0, offset=0.0):
    """Gaussian rows whose spectrum falls from 1 to 1e-2."""
    mixing = torch.linalg.qr(torch.randn(dim, dim, generator=rng(seed)))[0]
    scales = torch.logspace(0, -2, dim)
    return torch.randn(num_rows, dim, generator=rng(seed + 1)) * scales @ mixing + offset


def test_two_dimensions_by_hand():
    # Along (1, 1) the rows lie at +-sqrt(2), along (1, -1) at +-sqrt(2)/2; 4 rows, divisor 3: the
    # variances are 4/3 and 1/3. Whitened, they lie at +-sqrt(3)/sqrt(2) on one axis each.
    rows = torch.tensor([[6.0, 6.0], [4.0, 4.0], [5.5, 4.5], [4.5, 5.5]])
    transform = PCAWhitening(2, normalize=False).fit(rows)
    torch.testing.assert_close(transform.mean, torch.tensor([5.0, 5.0]))
    torch.testing.assert_close(transform.explained_variance, torch.tensor([4 / 3, 1 / 3]))
    side = 1.5**0.5
    torch.testing.assert_close(
        transform(rows).abs(), torch.tensor([[side, 0], [side, 0], [0, side], [0, side]])
    )


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("shape", [(3000, 40), (300, 300), (2500, 600)])
def test_is_that_of_sklearn_up_to_sign(whiten, shape):
    # R4; 600 columns are two blocks, 2500 rows three tiles
    rows = correlated(*shape, offset=3.0)
    transform = PCAWhitening(20, whiten=whiten, normalize=False).fit(rows)
    reference = PCA(20, whiten=whiten, svd_solver="full").fit(rows.double().numpy())
    expected = torch.from_numpy(reference.transform(rows.double().numpy())).float()
    ours = transform(rows)
    torch.testing.assert_close(
        ours * (ours * expected).sum(dim=0).sign(), expected, atol=2e-3, rtol=2e-3
    )
    torch.testing.assert_close(
        transform.explained_variance,
        torch.from_numpy(reference.explained_variance_).float(),
        rtol=1e-5,
        atol=0,
    )


def test_output_before_l2_has_unit_covariance():
    # R4: ||C - I||max < 0.05; rows after L2 have norm 1 +- 1e-5
    rows = correlated(20000, 64)
    plain = PCAWhitening(32, normalize=False).fit(rows)(rows)
    assert float((torch.cov(plain.T.double()) - torch.eye(32)).abs().max()) < 1e-4
    unit = PCAWhitening(32).fit(rows)(rows)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(20000), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit, l2_normalize(plain))


def test_covariance_is_that_of_fp64_far_from_zero():
    # Without centring, fp32 products would lose all digits here: 1e4 ** 2 * 2 ** -24 is about 6.
    rows = correlated(5000, 30, offset=1e4)
    mean, covariance = mean_and_covariance(rows)
    reference = torch.cov(rows.double().T)
    torch.testing.assert_close(mean, rows.double().mean(dim=0), atol=1e-7, rtol=0)
    assert float((covariance - reference).abs().max() / reference.abs().max()) < 5e-6


def test_order_of_the_tiles_does_not_matter():
    # P9: no total rounds, although the products of tile and tile differ by up to ten decimal orders
    # and plain fp64 sums of them do depend on the order. Each row has an opposite one in its tile:
    # the mean is 0, or else that of the largest tile would be in the products of all.
    rows = torch.randn(12, ROW_TILE // 2, 20, generator=rng())
    rows = torch.cat([rows, -rows], dim=1)
    rows *= torch.logspace(0, -5, 12)[torch.randperm(12, generator=rng())][:, None, None]
    first = mean_and_covariance(rows.flatten(0, 1))
    for seed in range(5):
        again = mean_and_covariance(rows[torch.randperm(12, generator=rng(seed))].flatten(0, 1))
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_scale_does_not_matter(scale):
    rows = correlated(1500, 20)
    covariance = mean_and_covariance(rows)[1]
    scaled = mean_and_covariance(rows * scale)[1] / scale**2
    torch.testing.assert_close(scaled, covariance, rtol=1e-5, atol=1e-9)


def test_sign_is_fixed():
    projection = PCAWhitening(10).fit(correlated(500, 30)).projection
    largest = projection.gather(0, projection.abs().argmax(dim=0, keepdim=True))
    assert bool((largest > 0).all())


def test_zero_row_stays_zero():
    # R4: a row at the mean becomes zeros, not NaN
    transform = PCAWhitening(3).fit(torch.randn(50, 5, generator=rng()))
    assert torch.equal(transform(transform.mean[None]), torch.zeros(1, 3))
    assert torch.equal(LinearTransform()(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_rank_deficient_and_constant_columns():
    rows = torch.randn(400, 3, generator=rng()) @ torch.randn(3, 12, generator=rng(1))
    rows[:, 5] = 7.0
    transform = PCAWhitening(8, normalize=False).fit(rows)
    assert torch.isfinite(transform.projection).all()
    output = transform(rows)
    # Three directions hold everything; nothing but rounding is left in the other five.
    torch.testing.assert_close(output[:, :3].std(dim=0), torch.ones(3), atol=1e-3, rtol=0)
    assert float(output[:, 3:].abs().max()) < 0.01
    assert float(transform.explained_variance[3]) < 1e-6 * float(transform.explained_variance[0])


def test_floor_by_hand():
    # Variances 4/3 and 4/3e-4 (two rows at +-1 or +-0.01 on each axis, divisor 3): with a floor of
    # 0.01 the second is divided by sqrt(0.01 * 4/3) in place of its own deviation.
    rows = torch.tensor([[1.0, 0.01], [1.0, -0.01], [-1.0, 0.01], [-1.0, -0.01]])
    low = PCAWhitening(2, normalize=False, eigenvalue_floor=0.01).fit(rows)(rows)
    torch.testing.assert_close(low[:, 1].abs(), torch.full((4,), 0.01 / (0.01 * 4 / 3) ** 0.5))
    free = PCAWhitening(2, normalize=False).fit(rows)(rows)
    torch.testing.assert_close(free[:, 1].abs(), torch.full((4,), (3 / 4) ** 0.5))


@pytest.mark.parametrize("value", [0.0, 0.1, 3e7])
def test_equal_rows_become_zeros(value):
    rows = torch.full((200, 6), value)
    transform = PCAWhitening(4).fit(rows)
    assert torch.equal(transform(rows), torch.zeros(200, 4))


def test_memory_map_and_half_precision(tmp_path):
    rows = correlated(2 * ROW_TILE + 300, 24)
    np.save(tmp_path / "rows.npy", rows.numpy())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    transform, of_map = PCAWhitening(6).fit(rows), PCAWhitening(6).fit(mapped)
    assert torch.equal(transform.projection, of_map.projection)
    assert torch.equal(transform(rows), transform(mapped))
    of_half = PCAWhitening(6).fit(rows.half())
    assert of_half(rows.half()).dtype == torch.float32
    assert torch.equal(of_half.projection, PCAWhitening(6).fit(rows.half().float()).projection)


def test_share_of_rows_is_transformed_to_the_same_bits():
    rows = correlated(3 * ROW_TILE + 17, 24)
    transform = PCAWhitening(6).fit(rows)
    parts = [
        transform(rows[share.start : share.stop])
        for share in (RowShare(len(rows), rank, 3) for rank in range(3))
    ]
    assert torch.equal(torch.cat(parts), transform(rows))


def test_low_precision_of_the_network_does_not_reach_it():
    # DESIGN 3.9; where the machine has no fast bf16 products both are equal anyway
    rows = correlated(600, 300)
    before = torch.get_float32_matmul_precision()
    expected = PCAWhitening(20).fit(rows)(rows)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(PCAWhitening(20).fit(rows)(rows), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_assigner_uses_the_same_transform():
    rows = correlated(400, 16)
    transform = PCAWhitening(5).fit(rows)
    assigner = Assigner(
        transform(rows)[:7],
        mean=transform.mean,
        projection=transform.projection,
        normalize=transform.normalize,
    )
    assert torch.equal(assigner.transform(rows), transform(rows))
    again = Assigner.from_state_dict(assigner.state_dict())
    assert torch.equal(again.assign(rows).distance, assigner.assign(rows).distance)


def test_registered():
    built = FEATURE_TRANSFORMS.build({"type": "PCAWhitening", "dim": 3})
    assert isinstance(built, PCAWhitening) and built.dim == 3


def test_bad_input_is_refused():
    rows = torch.randn(20, 8, generator=rng())
    with pytest.raises(ValueError, match=r"feature_transform.dim is 9, but features have 8 dim"):
        PCAWhitening(9).fit(rows)
    with pytest.raises(ValueError, match=r"feature_transform.dim is 8, but 8 samples spread in 7"):
        PCAWhitening(8).fit(rows[:8])
    for bad in (float("nan"), float("inf"), -float("inf")):
        broken = rows.clone()
        broken[4, 2] = bad
        with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 20 rows \(first: \[4\]\)"):
            PCAWhitening(2).fit(broken)
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        PCAWhitening(0)
    with pytest.raises(ValueError, match="eigenvalue_floor must be between 0 and 1, got 0"):
        PCAWhitening(2, eigenvalue_floor=0)
    with pytest.raises(ValueError, match=r"must be \(N, 8\), got \(20, 7\)"):
        PCAWhitening(2).fit(rows)(rows[:, :7])
    with pytest.raises(ValueError, match=r"\(4,\) and \(5, 2\)"):
        LinearTransform(torch.zeros(4), torch.zeros(5, 2))
