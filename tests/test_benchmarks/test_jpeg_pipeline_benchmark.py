"""The benchmark of data pipelines gives every contender the same images and draws."""

import argparse

import jpeg_pipeline
import torch


def arguments(**others):
    plain = dict(
        folder=None,
        config=str(jpeg_pipeline.CONFIG),
        images=3,
        size=(120, 90),
        cache_side=64,
        rounds=2,
        threads=1,
    )
    return argparse.Namespace(**(plain | others))


def test_measures_all(tmp_path):
    threads = torch.get_num_threads()
    try:
        found = jpeg_pipeline.measure(arguments(), tmp_path)
        again = jpeg_pipeline.measure(arguments(folder=tmp_path / "images"), tmp_path / "other")
    finally:
        torch.set_num_threads(threads)
    assert found["source"] == "synthetic 120x90" and again["source"] == "folder"
    names = set(found["images_per_second"])
    assert {
        "decode by Pillow",
        "decode by OpenCV",
        "torchvision",
        "opencv",
        "opencv, cache",
    } < names
    for table in ("ms_per_image", "times_torchvision", "share_of_decode_speed"):
        assert set(found[table]) == names
    assert min(found["images_per_second"].values()) > 0
    assert found["times_torchvision"]["torchvision"] == {"median": 1, "low": 1, "high": 1}
    assert all(name in jpeg_pipeline.table(found) for name in names)


def test_contenders_draw_alike(tmp_path):
    jpeg_pipeline.write_images(tmp_path / "images", 2, (120, 90))
    actions = jpeg_pipeline.contenders(tmp_path / "images", tmp_path / "cache", arguments())
    reference, ours = (actions[name](1, 5)["inputs"] for name in ("torchvision", "opencv"))
    assert reference.shape == ours.shape == (3, 224, 224)
    assert (reference.int() - ours.int()).abs().float().mean() < 1.5
