"""What a unit is shown with is what activates it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.apis import learned_features
from mmdeepcluster.apis.learned_features import first_filters
from mmdeepcluster.apis.unit_passes import activations, ascents, outputs_of, receptive_places
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.models import FeatureModel
from mmdeepcluster.models.backbones import AlexNetMicro, ConvNet
from mmdeepcluster.visualization.gradient_ascent import AscentOptions
from mmdeepcluster.visualization.unit_pictures import Place, top_images

ODC = Path(__file__).parents[2] / "configs/odc/odc_lenet5_digits.py"


def network(widths=(4,), **options):
    torch.manual_seed(0)
    return FeatureModel(
        backbone=dict(type="ConvNet", in_channels=1, widths=widths, **options),
        neck=dict(type="AveragePoolNeck"),
        data_preprocessor=dict(type="ImagePreprocessor", mean=[0.0], std=[255.0]),
    ).eval()


def mean_brightness(model):
    """Lets unit 0 of the first stage be the mean brightness of its 3x3 pixels."""
    conv = next(m for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        conv.weight[0].fill_(1 / 9)
    return model


def loader(images, size=4):
    return [{"inputs": images[n : n + size]} for n in range(0, len(images), size)]


def test_a_unit_of_brightness_is_pleased_by_the_brightest_images():
    levels = torch.tensor([10, 200, 30, 90, 250, 120], dtype=torch.uint8)
    images = levels.view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()
    found = activations(mean_brightness(network()), loader(images), "stage_1")
    assert found.shape == (4, 16, 16) and found.largest.shape == (6, 4)
    assert top_images(found.largest[:, 0], 3).tolist() == [4, 1, 5]
    assert found.largest[4, 0] == pytest.approx(250 / 255, abs=1e-4)


def test_the_place_of_a_unit_is_where_the_bright_spot_is():
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    images[0, 0, 9:12, 4:7] = 255
    model = mean_brightness(network())
    found = activations(model, loader(images), "stage_1")
    assert divmod(int(found.places[0, 0]), 16) == (10, 5)
    places = receptive_places(model, images, "stage_1", 0, found.places[:, 0].tolist())
    assert places == [Place(9, 12, 4, 7)]
    # a position at the border sees fewer pixels; a silent one depends on nothing
    images[0, 0, 0, 0] = 255
    assert receptive_places(model, images, "stage_1", 0, [0]) == [Place(0, 2, 0, 2)]
    assert receptive_places(model, images, "stage_1", 0, [15]) == [None]


def test_ascent_pleases_a_unit_more_than_its_best_image():
    model = network((4, 8))
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (8, 1, 16, 16), generator=rng, dtype=torch.uint8)
    found = activations(model, loader(images), "stage_2")
    units = [int(n) for n in np.argsort(-found.mean.max(axis=0))[:3]]
    best = torch.stack([images[top_images(found.mean[:, n], 1)[0]] for n in units])
    made = ascents(model, "stage_2", units, best, AscentOptions(steps=60), seed=0)
    assert made.images.shape == (3, 16, 16, 1)
    for unit, reached in zip(units, made.reached, strict=True):
        assert reached > found.mean[:, unit].max()
    again = ascents(model, "stage_2", units, best, AscentOptions(steps=60), seed=0)
    assert (made.images == again.images).all()


def test_a_unit_that_noise_leaves_silent_starts_from_an_image():
    model = mean_brightness(network())
    norm = next(m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    with torch.no_grad():
        norm.bias[0] = -0.9  # answers to bright images alone
    best = torch.full((1, 1, 16, 16), 250, dtype=torch.uint8)
    made = ascents(model, "stage_1", [0], best, AscentOptions(steps=5), seed=0)
    assert made.from_image == [True] and made.reached[0] > 0


def test_outputs_of_a_stage_are_those_of_all_stages():
    for backbone in (dict(type="AlexNetMicro", in_channels=3), dict(type="ResNet", depth=18)):
        model = FeatureModel(backbone=backbone, neck=dict(type="AveragePoolNeck")).eval()
        inputs = torch.randn(2, 3, 32, 32)
        before = model.backbone.out_indices
        with torch.no_grad():
            for name, value in model.backbone.forward_stages(inputs).items():
                assert torch.allclose(outputs_of(model, inputs, name), value, atol=1e-5)
            assert outputs_of(model, inputs, "neck").shape == (2, model.feature_dim)
        assert model.backbone.out_indices == before


def test_filters_of_colours_and_behind_a_sobel_layer():
    assert list(first_filters(ConvNet(in_channels=3, widths=(8,)))) == ["of colours"]
    assert first_filters(ConvNet(in_channels=5, widths=(8,))) == {}
    found = first_filters(AlexNetMicro(in_channels=3, sobel=True))
    assert len(found) == 3
    folded = found["folded with the Sobel layer: of the grey value"]
    assert (folded[..., 0] == folded[..., 1]).all() and folded.std() > 0


def test_files_and_page(tmp_path):
    found = learned_features(
        ODC, out=tmp_path / "out", layers=["relu_1", "neck"], num_images=40, steps=4
    )
    assert [layer.layer for layer in found.layers] == ["relu_1", "neck"]
    assert found.num_images == 40 and found.layers[0].steps == 4
    for name in ("filters", "top_relu_1", "top_neck", "ascent_relu_1", "ascent_neck"):
        assert np.asarray(Image.open(tmp_path / "out" / f"{name}.png")).std() > 1
    page = (tmp_path / "out/learned_features.html").read_text()
    assert page.count("gradient ascent of unit") == sum(len(x.units) for x in found.layers)
    for layer in found.layers:
        for unit in layer.units:
            assert list(unit.values) == sorted(unit.values, reverse=True)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such layer; there are neck, backbone, conv_1"):
        learned_features(ODC, layers=["conv_9"])
    with pytest.raises(ConfigError, match="--units 6: layer relu_1 has units 0 to 5"):
        learned_features(ODC, layers=["relu_1"], units=[6], num_images=8, steps=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file, give a folder"):
        learned_features(ODC, out=tmp_path / "file")
