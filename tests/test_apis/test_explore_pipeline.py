"""The exploration holds what the components of the config make, not something like it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.apis import explore_pipeline
from mmdeepcluster.apis.exploration import explore_clusters, explore_views, set_up
from mmdeepcluster.apis.exploration.clusters import objectives_by_limit, spectrum
from mmdeepcluster.apis.exploration.training import class_probabilities, look
from mmdeepcluster.clustering import KMeans, TwoLevelKMeans
from mmdeepcluster.datasets import Draw, ImageView
from mmdeepcluster.engine import ConfigError

ROOT = Path(__file__).parents[2] / "configs"
ODC = ROOT / "odc/odc_lenet5_digits.py"
DEEPCLUSTER = ROOT / "deepcluster/deepcluster_lenet5_digits.py"
DEEPER = ROOT / "deepercluster/deepercluster_convnet_photos.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((90, 80), Image.Resampling.BICUBIC).save(
            folder / f"photo {number}.png"
        )
    return folder


@pytest.fixture(scope="module")
def odc():
    return explore_pipeline(ODC, num_images=80, num_steps=3)


@pytest.fixture(scope="module")
def deepcluster():
    options = {"model.feature_transform.type": "PCAWhitening", "model.feature_transform.dim": 20}
    return explore_pipeline(DEEPCLUSTER, num_images=80, num_steps=2, options=options)


@pytest.fixture(scope="module")
def deeper(photos):
    own = [photos / "photo 3.png", photos / "photo 7.png"]
    options = {"data_root": str(photos), "train_dataloader.batch_size": 12}
    return explore_pipeline(DEEPER, own, num_images=30, num_steps=1, options=options)


def test_steps_end_in_what_the_view_makes(odc):
    setup = set_up(ODC, (), None, 20, None)
    own = explore_views(setup)
    cfg, dataset = setup.resolved.cfg, setup.resolved.dataset
    train = ImageView(dataset, cfg.train_pipeline)
    upright = ImageView(dataset, cfg.eval_pipeline)
    from mmdeepcluster.apis.exploration.views import draw_seed

    for index, image in enumerate(own):
        drawn = train[Draw(index, draw_seed(setup, index))]["inputs"][0].numpy()
        assert (image.train_steps[-1].picture[:, :, 0] == drawn).all()
        seen = upright[index]["inputs"][0].numpy()
        assert (image.eval_steps[-1].picture[:, :, 0] == seen).all()
        assert len({draw.tobytes() for draw in image.train_draws}) == len(image.train_draws)
    assert own[0].eval_steps[1].name == "Resize(size=32)"


def test_the_same_call_gives_the_same_exploration(odc):
    again = explore_pipeline(ODC, num_images=80, num_steps=3)
    assert (again.clustering.labels == odc.clustering.labels).all()
    assert again.step.loss_before == odc.step.loss_before
    assert again.next_cycle.losses == odc.next_cycle.losses
    assert (again.next_cycle.labels == odc.next_cycle.labels).all()


def test_the_first_loss_is_that_of_the_probabilities(odc, deepcluster, deeper):
    for data in (deepcluster, deeper):
        assert data.step.loss_before == pytest.approx(-np.log(data.step.before).mean(), abs=1e-4)
        assert data.step.loss_after == pytest.approx(-np.log(data.step.after).mean(), abs=1e-4)
    weights = odc.draws.weights[odc.step.targets]
    expected = -(weights * np.log(odc.step.before)).sum() / weights.sum()
    assert odc.step.loss_before == pytest.approx(expected, abs=1e-4)
    assert odc.step.chance == pytest.approx(math.log(odc.num_clusters))
    assert odc.step.loss_before == pytest.approx(odc.step.chance, abs=0.1)


def test_a_step_lowers_the_loss_of_its_batch(odc, deepcluster):
    for data in (odc, deepcluster):
        assert data.step.loss_after < data.step.loss_before
        assert data.step.samples[:3].tolist() == [0, 1, 2]
        assert len(set(data.step.samples.tolist())) == len(data.step.samples)


def test_probabilities_add_up(odc, deepcluster, deeper):
    for data in (odc, deepcluster):
        assert data.step.own_before.sum(axis=1) == pytest.approx(1, abs=1e-4)
    # of one turn out of four, about a quarter with weights that are nearly zero
    assert deeper.step.own_before.sum(axis=1) == pytest.approx(0.25, abs=0.05)


def test_looking_leaves_the_network_as_it_was():
    setup = set_up(DEEPCLUSTER, (), None, 40, None)
    explore_clusters(setup)
    before = {name: value.clone() for name, value in setup.algorithm.state_dict().items()}
    view = setup.loader.dataset
    samples = [view[Draw(n, n)] for n in range(6)]
    batch = {
        "inputs": torch.stack([sample["inputs"] for sample in samples]),
        "sample_idx": torch.arange(6),
    }
    seen = look(setup.algorithm, batch, seed=5)
    assert torch.equal(seen.features, look(setup.algorithm, batch, seed=5).features)
    assert class_probabilities(setup.algorithm, seen).shape == (6, setup.algorithm.num_clusters)
    for name, value in setup.algorithm.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_whitening_makes_the_spectrum_flat(deepcluster):
    raw, white, unit = deepcluster.matrices
    assert [m.name for m in deepcluster.matrices] == [
        "as extracted",
        "PCA, whitened",
        "unit length",
    ]
    assert raw.spectrum[0] > 10 * raw.spectrum[19]
    assert white.rows.shape == (80, 20)
    assert white.spectrum == pytest.approx(1.0, abs=0.03)
    assert np.linalg.norm(unit.rows, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_spectrum_is_that_of_the_covariance():
    rows = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)).double()
    expected = np.linalg.eigvalsh(np.cov(rows.numpy().T, bias=True))[::-1]
    assert spectrum(rows) == pytest.approx(expected)


def test_clusters_neighbours_and_objective(deepcluster):
    found, rows = deepcluster.clustering, deepcluster.matrices[-1].rows
    means = np.stack([rows[found.labels == k].mean(axis=0) for k in range(len(found.counts))])
    table = np.linalg.norm(rows[:, None] - means[None], axis=2)
    assert (found.labels == table.argmin(axis=1)).mean() > 0.95
    assert found.distances == pytest.approx(table[np.arange(80), found.labels], abs=1e-5)
    assert np.square(found.distances).mean() == pytest.approx(found.objective, abs=1e-5)
    assert all(a >= b - 1e-9 for a, b in zip(found.objectives, found.objectives[1:], strict=False))
    own = np.linalg.norm(rows - rows[1], axis=1)
    own[1] = np.inf
    assert deepcluster.neighborhoods[1].neighbors.tolist() == np.argsort(own)[:8].tolist()


def test_objectives_by_limit_fall_and_end_where_the_clusterer_does():
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    two = TwoLevelKMeans(num_clusters=6, num_super_clusters=2, max_iters=6)
    found = objectives_by_limit(two, rows, seed=3)
    assert len(found) == 6 and found[-1] == two.fit(rows, seed=3).objective
    assert found[0] >= found[-1] and two.max_iters == 6
    one = KMeans(4, max_iters=5)
    assert objectives_by_limit(one, rows, 0)[-1] == one.fit(rows, seed=0).objective


def test_uniform_draws_are_even_and_owner_draws_are_the_sizes(odc, deepcluster):
    assert (odc.draws.draws == odc.draws.counts).all() and odc.draws.missed == 0
    number = deepcluster.num_clusters
    assert deepcluster.draws.draws.sum() == 80
    assert deepcluster.draws.draws.max() <= 80 // number + 1
    assert deepcluster.draws.counts.max() > deepcluster.draws.draws.max()
    expected = (odc.draws.counts / odc.draws.counts.min()) ** -0.5
    assert odc.draws.weights == pytest.approx(expected, rel=1e-5)


def test_memory_rows_move_by_momentum(odc):
    for visit in odc.memory.visits:
        row = odc.memory.momentum * visit.feature + (1 - odc.memory.momentum) * visit.row_before
        row /= np.linalg.norm(row)
        assert visit.row_after == pytest.approx(row, abs=1e-3)
        assert visit.label_before == odc.clustering.labels[visit.sample]
    assert len(odc.next_cycle.change_ratios) == len(odc.next_cycle.losses) == 4


def test_next_cycle_agrees_with_its_labels(odc, deepcluster):
    from sklearn.metrics import normalized_mutual_info_score

    for data in (odc, deepcluster):
        old, new = data.clustering.labels, data.next_cycle.labels
        assert data.next_cycle.nmi == pytest.approx(normalized_mutual_info_score(old, new))
        assert data.next_cycle.overlap.sum() == 80
        assert data.next_cycle.overlap.trace() == (old == new).sum()


def test_own_images_come_first_and_once(deeper):
    assert [image.name for image in deeper.own] == ["photo 3.png", "photo 7.png"]
    names = [name.rpartition("/")[2] for name in deeper.names]
    assert names[:2] == ["photo 3.png", "photo 7.png"] and len(set(names)) == len(names)
    assert deeper.own[0].size == (90, 80) and len(deeper.own[0].turned) == 4
    upright, quarter = deeper.own[0].turned[:2]
    assert (quarter == np.rot90(upright)).all()
    assert deeper.clustering.num_super_clusters == 2 and deeper.step.rotations is not None
    assert set(deeper.step.losses) >= {"loss_super", "loss_sub"}


def test_a_checkpoint_gives_the_network(tmp_path, deepcluster):
    setup = set_up(DEEPCLUSTER, (), None, 20, None)
    with torch.no_grad():
        setup.algorithm.backbone.conv1.weight.fill_(0.25)
    state = {
        "state_dict": setup.algorithm.state_dict(),
        "mmdeepcluster": {"method": "DeepCluster"},
    }
    torch.save(state, tmp_path / "run.pth")
    found = set_up(DEEPCLUSTER, (), tmp_path / "run.pth", 20, None)
    assert float(found.algorithm.backbone.conv1.weight.mean()) == 0.25
    assert found.origin == "checkpoint run.pth"


def test_what_cannot_be_explored_is_refused(tmp_path, photos):
    with pytest.raises(ConfigError, match="there is no such file"):
        explore_pipeline(ODC, [tmp_path / "none.jpg"])
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ConfigError, match=r"text.jpg cannot be read"):
        explore_pipeline(ODC, [tmp_path / "text.jpg"])
    with pytest.raises(ConfigError, match="--images 7: must lie between 8 and"):
        explore_pipeline(ODC, num_images=7)
    with pytest.raises(ConfigError, match="--steps -1"):
        explore_pipeline(ODC, num_steps=-1)
    with pytest.raises(ConfigError, match="give a file in a folder that exists"):
        explore_pipeline(ODC, out=tmp_path / "none" / "page.html")
