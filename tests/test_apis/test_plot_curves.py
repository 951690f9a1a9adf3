"""R54: curves and times of runs, by hand-written logs."""

import json

import pytest
from PIL import Image

from mmdeepcluster.apis import plot_curves, read_scalars, train_times
from mmdeepcluster.apis.plot_curves import epoch_length
from mmdeepcluster.apis.train_times import describe_times
from mmdeepcluster.engine import ConfigError


def write(place, rows):
    place.parent.mkdir(parents=True)
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))


def iteration(step, epoch, **values):
    return {**values, "epoch": epoch, "iter": step, "step": step}


def start(number):
    return f"2026010{number}_000000/vis_data/scalars.json"


@pytest.fixture
def odc(tmp_path):
    """Ten iterations an epoch; a start of three epochs, and one that went on after the second."""
    times = {"time": 0.2, "data_time": 0.1}
    write(
        tmp_path / "odc" / start(1),
        [
            iteration(5, 1, loss=3.0, change_ratio=0.5, time=9.0, data_time=8.0),
            iteration(10, 1, loss=2.0, change_ratio=0.4, **times),
            {"speed/images_per_second": 100.0, "speed/share_step": 0.8, "speed/share_data": 0.2,
             "speed/share_rest": 0.0, "step": 1},
            iteration(20, 2, loss=1.5, change_ratio=0.3, time=0.4, data_time=0.1),
            {"epoch/nmi": 0.3, "step": 2},
            iteration(30, 3, loss=99.0, change_ratio=0.9, **times),
            {"epoch/nmi": 0.99, "step": 3},
        ],
    )  # fmt: skip
    write(
        tmp_path / "odc" / start(2),
        [
            iteration(25, 3, loss=1.4, change_ratio=0.2, time=5.0, data_time=4.0),
            {"speed/images_per_second": 300.0, "speed/share_step": 0.4, "speed/share_data": 0.6,
             "speed/share_rest": 0.0, "step": 3},
            {"epoch/nmi": 0.5, "step": 3},
        ],
    )  # fmt: skip
    return tmp_path / "odc"


@pytest.fixture
def deepcluster(tmp_path):
    write(
        tmp_path / "dc" / start(1),
        [
            {"cycle/seconds_extract": 2.0, "cycle/seconds_PCA": 0.5, "step": 1},
            iteration(4, 1, loss=2.9, time=0.3, data_time=0.0),
            {"cycle/seconds_extract": 4.0, "cycle/seconds_PCA": 0.5, "step": 2},
            iteration(8, 2, loss=2.8, time=0.3, data_time=0.0),
        ],
    )
    return tmp_path / "dc"


def test_a_file_is_one_start_and_a_work_dir_all_of_them(odc):
    assert read_scalars(odc / start(1))["loss"] == ([5, 10, 20, 30], [3.0, 2.0, 1.5, 99.0])
    assert read_scalars(odc)["loss"] == ([5, 10, 20, 25], [3.0, 2.0, 1.5, 1.4])
    assert read_scalars(odc)["epoch/nmi"] == ([2, 3], [0.3, 0.5])


def test_epoch_length_follows_from_the_last_iteration_of_an_epoch(odc, deepcluster):
    assert epoch_length(read_scalars(odc)) == 10
    assert epoch_length(read_scalars(deepcluster)) == 4
    assert epoch_length({"loss": ([1], [1.0])}) is None
    with pytest.raises(ValueError, match="different lengths"):
        epoch_length({"epoch": ([10, 11], [1.0, 3.0])})


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the figure."""
    found = {}

    def keep(path, panels, xlabel, *rest):
        found.update(panels=panels, xlabel=xlabel)
        return True

    monkeypatch.setitem(plot_curves.__globals__, "draw_curves", keep)
    return found


def test_curves_of_two_runs_on_one_axis(odc, deepcluster, drawn, tmp_path):
    runs = [odc, deepcluster]
    notes = plot_curves(runs, ["train/loss", "change_ratio"], tmp_path / "a.png")
    assert notes == [f"change_ratio: not in {deepcluster}, drawn for the others"]
    assert drawn["xlabel"] == "iteration"
    loss, change = drawn["panels"]["train/loss"], drawn["panels"]["change_ratio"]
    assert [(curve.name, curve.run) for curve in loss] == [("odc", 0), ("dc", 1)]
    assert loss[1].x == [4, 8] and loss[1].y == [2.9, 2.8]
    assert [curve.y for curve in change] == [[0.5, 0.4, 0.3, 0.2]]
    # a key that counts epochs puts all on epochs, by the epochs of each run
    plot_curves([odc], ["loss", "epoch/nmi"], tmp_path / "a.png")
    assert drawn["xlabel"] == "epoch"
    assert drawn["panels"]["loss"][0].x == [0.5, 1.0, 2.0, 2.5]
    assert drawn["panels"]["epoch/nmi"][0].x == [2, 3]
    plot_curves([odc], ["epoch/nmi"], tmp_path / "a.png", axis="iter")
    assert drawn["panels"]["epoch/nmi"][0].x == [20, 30]
    # as in OpenMMLab's tool: all keys of the first run, then those of the second
    plot_curves(runs, ["loss", "epoch"], tmp_path / "a.png", legend=["a", "b", "c", "d"])
    assert [[c.name for c in curves] for curves in drawn["panels"].values()] == [
        ["a", "c"], ["b", "d"],
    ]  # fmt: skip


def test_what_cannot_be_drawn_is_said(odc, deepcluster, tmp_path):
    out = tmp_path / "a.png"
    with pytest.raises(ConfigError, match=r"--keys lsos: not in .*odc; known: .*epoch/nmi.* loss"):
        plot_curves([odc], ["lsos"], out)
    with pytest.raises(ConfigError, match=r"--legend has 3 names: .* 2 runs, .* \(4\)"):
        plot_curves([odc, deepcluster], ["loss", "epoch"], out, legend=["a", "b", "c"])
    with pytest.raises(ConfigError, match="did you mean 'ggplot'"):
        plot_curves([odc], ["loss"], out, style="gplot")
    with pytest.raises(ConfigError, match=r"a\.xyz.*xyz"):
        plot_curves([odc], ["loss"], tmp_path / "a.xyz")
    with pytest.raises(ConfigError, match="--smooth must be at least 1, got 0"):
        plot_curves([odc], ["loss"], out, smooth=0)
    assert not out.exists()
    plot_curves([odc, deepcluster], ["loss", "change_ratio"], out, smooth=2, style="ggplot")
    assert len(Image.open(out).convert("L").getcolors()) > 10


def test_times_by_hand(odc, deepcluster):
    times = train_times(odc)
    # without 9.0 and 5.0, the first values of two starts; 99 and 0.2 of step 30 were made anew
    assert times.by_epoch == {1: 0.2, 2: 0.4} and times.num_left_out == 2
    assert (times.fastest, times.slowest) == (1, 2)
    assert times.iteration == pytest.approx(0.3) and times.waiting == pytest.approx(0.1)
    # 1 s for 100 images, 1/3 s for 100 more: 200 in 4/3 s
    assert times.images_per_second == pytest.approx(150.0)
    assert times.shares["step"] == pytest.approx(0.8 * 0.75 + 0.4 * 0.25)
    assert times.shares["data"] == pytest.approx(0.2 * 0.75 + 0.6 * 0.25)
    every = train_times(odc, include_outliers=True)
    assert every.by_epoch == {1: pytest.approx(4.6), 2: 0.4, 3: 5.0} and every.num_left_out == 0
    assert train_times(deepcluster).cycle == {"extract": 3.0, "PCA": 0.5}
    text = describe_times("odc", times)
    assert "slowest epoch 2, average time is 0.4000 s/iter" in text
    assert "images per second: 150.0" in text and "step 70.0%, data 30.0%, rest 0.0%" in text


def test_times_that_are_not_there(tmp_path):
    write(tmp_path / "new" / start(1), [iteration(5, 1, time=1.0, data_time=0.0, loss=1.0)])
    with pytest.raises(ConfigError, match=r"only 1 times were logged.*--include-outliers"):
        train_times(tmp_path / "new")
    assert train_times(tmp_path / "new", include_outliers=True).iteration == 1.0
    write(tmp_path / "none" / start(1), [{"epoch/nmi": 0.5, "step": 0}])
    with pytest.raises(ConfigError, match="no time of an iteration was logged yet"):
        train_times(tmp_path / "none")
