"""The scaling model on cases computed by hand (R58, R59)."""

from dataclasses import fields, replace

import pytest
from scaling_fit import errors, fit_seconds, fit_sizes, rates
from scaling_model import (
    bytes_per_rank,
    checkpoint_bytes,
    kmeans_bytes,
    kmeans_seconds,
    kmeans_work,
    memory_parts,
    memory_per_rank,
    message_bytes,
    seconds_per_cycle,
)
from scaling_problem import Problem, Rates, Search, Sizes

SMALL = Problem(
    num_samples=1600,
    num_clusters=80,
    dim=8,
    world_size=4,
    feature_dim=16,
    num_super_clusters=2,
    max_iters=3,
    epochs=2,
    batch_size=10,
    backbone_params=100,
)
SIZES = Sizes(
    matrices=6,
    row_bytes=20,
    label_bytes=16,
    draw_bytes=32,
    own_bytes=72,
    activation_bytes=1000,
)
IDLE = Search(**dict.fromkeys([field.name for field in fields(Search)], 0.0))
FREE = Rates(IDLE, IDLE, *[0.0] * (len(fields(Rates)) - 2))


def test_what_follows_from_the_sizes():
    assert (SMALL.num_super_classes, SMALL.sub_clusters, SMALL.passes) == (8, 40, 4)
    assert (SMALL.rows, SMALL.group_rows, SMALL.clustering_group) == (400, 400, 2)
    assert SMALL.sub_head_bytes == 40 * 17 * 4
    assert SMALL.shared_bytes == (100 + 8 * 17) * 4
    assert SMALL.steps == 80
    assert SMALL.drawn_from == 1600


@pytest.mark.parametrize(
    ("world_size", "group", "turns"), [(1, 1, 4), (2, 1, 2), (3, 1, 2), (4, 1, 1), (11, 2, 1)]
)
def test_super_clusters_are_dealt_to_processes(world_size, group, turns):
    problem = Problem(800, 8, 2, world_size, num_super_clusters=4)
    assert (problem.clustering_group, problem.turns) == (group, turns)
    assert problem.group_rows == 800 / 4 / group
    # One process copies one super-cluster after the other; several have received theirs at once.
    assert problem.received_rows == (200 if world_size == 1 else turns * 200 / group)


def test_memory_by_what_it_is_for():
    parts = memory_parts(SMALL, SIZES)
    level_2 = 400 * 11 * 2 + 400 * 20 + 6 * 40 * 8 * 8
    assert parts == {
        "features": (400 * 16 * 4, 0),
        "labels": (0, 16 * 1600 + 8 * 80),
        "weights": (0, 3 * (944 + 8 * 2720)),
        "step": (0, 944 + 8 * 2720 + 10_000),
        "PCA": (0, 5 * 8 * 16 * 16),
        "rows": (0, 400 * 8 * 4),
        "level 1": (8 * 1600, 400 * 11 * 2 + 400 * 20 + 6 * 2 * 8 * 8 + 16 * 1600),
        "received": (0, 400 * 8 * 4 + 8 * 1600),
        "redistribution": (0, 128 * 2**20),
        "level 2": (8 * 800, level_2 + 16 * 800),
        "result": (0, 2 * 80 * 8 * 4 + 16 * 1600),
        "new labels": ((8 + 16) * 1600, 0),
        "draws": (32 * 1600 + 72 * 400, 0),
    }


def test_memory_of_phases_adds_what_is_held():
    parts, phases = memory_parts(SMALL, SIZES), memory_per_rank(SMALL, SIZES)
    training = phases["training"]
    assert training.host == parts["draws"].host
    assert training.device == 26_240 + 68_112 + 32_704
    rows = 12_800 + 12_800 + 8 * 1600  # own ones, received ones, super-clusters of all
    assert phases["level 2"].device == 26_240 + 68_112 + rows + parts["level 2"].device
    assert phases["extraction"].total == 25_600 + 26_240 + 68_112
    assert phases["new labels"].host == 25_600 + 24 * 1600


def test_grouped_mode_holds_one_sub_head():
    """R59: 16 sub-heads of 80,000 x 4096 are 21 GB, one of them a sixteenth."""
    paper = Problem(95_920_149, 320_000, 4096, world_size=64)
    grouped = replace(paper, grouped=True)
    assert 16 * paper.sub_head_bytes == 16 * 80_000 * 4097 * 4  # 20.98e9
    held, alone = (memory_parts(one, SIZES)["weights"].device for one in (paper, grouped))
    assert held == 3 * (16 * paper.sub_head_bytes + paper.shared_bytes)
    # The wrapper's buckets hold the shared gradients alone.
    assert alone == 2 * paper.sub_head_bytes + 3 * paper.shared_bytes
    # A gradient is divided into a copy; the sampler draws from one super-cluster.
    step = memory_parts(grouped, SIZES)["step"].device - 48 * 1000
    assert step == 2 * paper.sub_head_bytes + paper.shared_bytes
    draws = memory_parts(grouped, SIZES)["draws"].host
    assert draws == (32 / 4 + 72 / 64) * 95_920_149


def test_traffic():
    """R58: one message of 8 K (D + 1) + 8 bytes an iteration, rows travel once."""
    assert message_bytes(40, 8) == 8 * 40 * 9 + 8 == 2888
    assert bytes_per_rank(SMALL) == {
        "PCA": 2 * 2560 * 3 / 4 + 8 * 17 * 8,
        "level 1": (2 * 8 * 4 + 4 * 152) * 2 * 3 / 4 + 12_800 * 3 / 4,
        "redistribution": 400 * 8 * 4 * 3 / 4,
        "level 2": (40 * 8 * 4 + 4 * 2888) * 2 / 2 + 6400 / 2,
        "result": 80 * 8 * 4 + 4 * 1600,
        "gradients": 80 * (2 * 944 * 3 / 4 + 8 * 2 * 2720 * 3 / 4),
    }


def test_one_process_sends_nothing():
    assert set(bytes_per_rank(replace(SMALL, world_size=1)).values()) == {0.0}


def test_sub_head_travels_in_its_group_alone():
    grouped = replace(SMALL, world_size=16, grouped=True)  # 8 super-classes, 2 processes each
    step = bytes_per_rank(grouped)["gradients"] / grouped.steps
    assert step == 2 * 944 * 15 / 16 + 2 * 2720 / 2


def test_work_of_kmeans():
    work = kmeans_work(10, 5, 3, 2)
    assert work == {
        "multiply": 2 * 10 * 3 * 8,
        "score": 60,
        "number": 100,
        "row": 20,
        "centre": 30,
        "once": 50,
        "call": 2,
    }
    one_each = Search(**dict.fromkeys(work, 1.0))
    assert kmeans_seconds(10, 5, 3, 2, one_each) == sum(work.values())
    assert kmeans_bytes(10, 5, 3, SIZES) == 10 * 8 * 2 + 10 * 20 + 6 * 15 * 8


@pytest.mark.parametrize(
    ("rate", "phase", "expected"),
    [
        ("extract_image", "extraction", 400),
        ("index_sample", "extraction", 400),
        ("pca_multiply", "PCA", 400 * 16 * 16 / 2),
        ("pca_number", "PCA", 400 * 16),
        ("pca_cube", "PCA", 16**3),
        ("pca_vectors", "PCA", 8 * 16**2),
        ("apply_multiply", "PCA", 400 * 16 * 8),
        ("apply_number", "PCA", 400 * 16),
        ("move_byte", "redistribution", 400 * 8 * 4),
        ("label_sample", "labels", 1600),
        ("label_cluster", "labels", 80),
        ("draw_sample", "sampler", 2 * 1600),
        ("draw_cluster", "sampler", 2 * 80),
        ("train_image", "training", 2 * 400),
        ("link_byte", "traffic", sum(bytes_per_rank(SMALL).values())),
    ],
)
def test_each_rate_counts_in_its_phase(rate, phase, expected):
    seconds = seconds_per_cycle(SMALL, replace(FREE, **{rate: 1.0}))
    assert seconds[phase] == expected
    assert sum(seconds.values()) == expected


def test_time_of_both_levels():
    search = replace(IDLE, multiply=1.0)
    found = seconds_per_cycle(SMALL, replace(FREE, held=search))
    assert found["level 1"] == 4 * 400 * 2 * 11
    assert found["level 2"] == 4 * 400 * 40 * 11
    alone = replace(SMALL, world_size=1)
    found = seconds_per_cycle(alone, replace(FREE, held=search), in_memory=False)
    assert found["level 1"] == 0.0
    assert found["level 2"] == 2 * 4 * 800 * 40 * 11  # both super-clusters by one process
    found = seconds_per_cycle(alone, replace(FREE, mapped=search), in_memory=False)
    assert (found["level 1"], found["level 2"]) == (4 * 1600 * 2 * 11, 0.0)


def test_checkpoint_holds_all_sub_heads():
    expected = 2 * (944 + 8 * 2720) + 16 * 1600 + 8 * 80
    assert checkpoint_bytes(SMALL) == checkpoint_bytes(replace(SMALL, world_size=1)) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_clusters": 81}, "81.*multiple.*2"),
        ({"num_clusters": 1602}, "1602 clusters.*1600 samples"),
        ({"grouped": True}, "multiple of 8 processes, got 4"),
    ],
)
def test_impossible_problems_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


def run_of(kind, rows, dim, clusters, passes, truth):
    work = kmeans_work(rows, dim, clusters, passes)
    for term in ("number", "once"):
        work[f"{term} {kind}"] = work.pop(term)
    seconds = sum(units * truth[term] for term, units in work.items())
    return {"phase": "k-means", "work": work, "wall": seconds}


def test_fit_finds_the_coefficients_that_made_the_times():
    truth = {
        "multiply": 2e-12,
        "score": 3e-11,
        "row": 4e-8,
        "centre": 5e-9,
        "call": 1e-4,
        "number held": 6e-10,
        "number mapped": 9e-10,
        "once held": 2e-9,
        "once mapped": 0.0,
    }
    shapes = [(1000, 8, 4, 3), (1000, 8, 4, 11), (5000, 64, 4, 11), (5000, 64, 300, 11)]
    shapes += [(2000, 512, 900, 5), (100, 32, 90, 7), (9000, 16, 2000, 2)]
    runs = [run_of(kind, *shape, truth) for kind in ("held", "mapped") for shape in shapes]
    found = fit_seconds(runs, "wall")
    assert found == pytest.approx(truth, rel=1e-6, abs=1e-18)
    assert errors(runs, found, "wall")["k-means"]["rms"] < 1e-6
    other = {
        "pca_multiply",
        "pca_number",
        "pca_cube",
        "pca_vectors",
        "apply_multiply",
        "apply_number",
    }
    other |= {"move_byte", "index_sample", "label_sample", "label_cluster", "draw_sample"}
    other |= {"draw_cluster", "save_byte"}
    complete = rates(found | dict.fromkeys(other, 7.0), 1.0, 2.0, 3.0)
    assert complete.mapped.number == pytest.approx(9e-10)
    assert (complete.held.row, complete.save_byte) == (pytest.approx(4e-8), 7.0)
    assert (complete.extract_image, complete.train_image, complete.link_byte) == (1.0, 2.0, 3.0)


def test_too_few_measurements_are_refused():
    runs = [
        run_of(
            "held",
            10,
            2,
            3,
            1,
            dict.fromkeys([*kmeans_work(1, 1, 1, 1)], 1.0) | {"number held": 1.0, "once held": 1.0},
        )
    ]
    with pytest.raises(ValueError, match="1 measurements cannot tell 7 terms"):
        fit_seconds(runs, "wall")


def test_sizes_from_peaks():
    shapes = [(1000, 8, 4), (100, 50, 60), (500, 20, 100)]
    memory = [
        {
            "phase": "k-means",
            "N": rows,
            "D": dim,
            "K": clusters,
            "peak": kmeans_bytes(rows, dim, clusters, SIZES) + 3 * 2**20,
        }
        for rows, dim, clusters in shapes
    ]
    # One process keeps 72 bytes of each draw, one of 64 a sixty-fourth of them.
    peaks = {"labels and sampler": 12, "draws of an epoch": 28 + 72 / 64}
    peaks |= {"draws of an epoch, one process": 28 + 72}
    memory += [
        {"phase": phase, "N": 6400, "K": 5, "peak": 6400 * each} for phase, each in peaks.items()
    ]
    found = fit_sizes(memory, {"bytes_of_an_image": 1000})
    for field in fields(Sizes):
        assert getattr(found, field.name) == pytest.approx(getattr(SIZES, field.name), rel=1e-6)
