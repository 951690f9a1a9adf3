"""torchvision's transforms by name (R3, R48, R70): strings, typos, nested transforms."""

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from mmdeepcluster.datasets import build_pipeline
from mmdeepcluster.registry import TRANSFORMS

JITTER = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5)


def test_every_transform_is_registered_under_its_name():
    for name in ("Resize", "RandomResizedCrop", "ColorJitter", "PILToTensor", "GaussianBlur"):
        assert TRANSFORMS.get(name) is getattr(v2, name)
    assert "Transform" not in TRANSFORMS.module_dict
    assert len(TRANSFORMS.module_dict) >= 50
    assert isinstance(TRANSFORMS.build(dict(type="mmdeepcluster.Resize", size=8)), v2.Resize)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="Resize", size=(8, 8)),
        dict(type="RandomResizedCrop", size=8),
        dict(type="RandomRotation", degrees=90),
        dict(type="RandomAffine", degrees=45, translate=[0.1, 0.1], scale=[0.9, 1.1]),
    ],
)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_interpolation_as_a_string(step, interpolation):
    if interpolation == "bicubic" and step["type"] == "Resize":
        step = dict(step, antialias=True)
    image = Image.effect_noise((16, 16), 60)

    def run(value):
        torch.manual_seed(0)
        return build_pipeline([dict(step, interpolation=value), dict(type="PILToTensor")])(image)

    assert torch.equal(run(interpolation), run(v2.InterpolationMode(interpolation)))
    assert not torch.equal(run("nearest"), run("bilinear"))


def test_config_files_are_taken_as_they_are(tmp_path):
    (tmp_path / "config.py").write_text(
        "pipeline = [dict(type='RandomApply', p=1.0, transforms=["
        "dict(type='Resize', size=(4, 6), interpolation='bicubic')]),"
        "dict(type='PILToTensor'), dict(type='ToDtype', dtype='float32', scale=True)]"
    )
    config = Config.fromfile(tmp_path / "config.py")
    pipeline = build_pipeline(config.pipeline)
    output = pipeline(Image.new("RGB", (9, 9), "white"))
    assert output.dtype == torch.float32 and output.shape == (3, 4, 6) and output.max() == 1
    assert "RandomApply" in repr(pipeline) and "bicubic" in repr(pipeline).lower()
    assert build_pipeline(config.pipeline) is not pipeline, "the config is not consumed"


def test_evaluation_pipeline_of_r3_has_nothing_random():
    pipeline = build_pipeline(
        [
            dict(type="Resize", size=256),
            dict(type="CenterCrop", size=224),
            dict(type="PILToTensor"),
        ]
    )
    assert [type(step).__name__ for step in pipeline.transforms] == [
        "Resize",
        "CenterCrop",
        "PILToTensor",
    ]
    image = Image.effect_noise((300, 260), 60).convert("RGB")
    assert torch.equal(pipeline(image), pipeline(image))


def test_jitter_factors_of_r48():
    jitter = build_pipeline([JITTER]).transforms[0]
    ranges = {
        "brightness_factor": (0.6, 1.4),
        "contrast_factor": (0.6, 1.4),
        "saturation_factor": (0.0, 2.0),
        "hue_factor": (-0.5, 0.5),
    }
    torch.manual_seed(0)
    sample = getattr(jitter, "make_params", None) or jitter._get_params  # torchvision < 0.21
    sampled = [sample([]) for _ in range(1000)]
    for name, (low, high) in ranges.items():
        values = torch.tensor([params[name] for params in sampled])
        assert values.min() >= low and values.max() <= high
        margin = 0.02 * (high - low)  # and the whole range is used
        assert values.min() < low + margin and values.max() > high - margin


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (dict(type="Resise", size=8), ValueError, "unknown transform 'Resise'.*mean 'Resize'"),
        (dict(type="Resize", sizes=8), TypeError, "'Resize' has no option 'sizes'.*mean 'size'"),
        (dict(type="PILToTensor", x=8), TypeError, "'PILToTensor' has no option 'x'.*has: none"),
        (dict(type="Resize"), TypeError, "transform 'Resize': .*'size'"),
        (dict(type="Resize", size=None), ValueError, "transform 'Resize': max_size must"),
        (
            dict(type="Resize", size=8, interpolation="bilinar"),
            ValueError,
            "transform 'Resize': 'bilinar'",
        ),
        (dict(type="ToDtype", dtype="float"), None, ""),
        (dict(type="ToDtype", dtype="single32"), ValueError, "'ToDtype': dtype='single32'"),
        (dict(size=8), TypeError, "a key 'type'"),
        ("Resize", TypeError, "a key 'type'"),
        (dict(type=5), TypeError, "name or a class"),
    ],
)
def test_mistakes_name_the_transform(step, error, message):
    if error is None:
        build_pipeline([step])
        return
    with pytest.raises(error, match=message):
        build_pipeline([step])


def test_empty_pipeline():
    with pytest.raises(ValueError, match="pipeline is empty"):
        build_pipeline([])


def test_user_transform_by_name_or_class():
    class Invert(nn.Module):
        def forward(self, image):
            return 255 - image

    TRANSFORMS.register_module(name="InvertOfThisTest", module=Invert)
    try:
        for kind in ("InvertOfThisTest", Invert):
            pipeline = build_pipeline([dict(type="PILToTensor"), dict(type=kind)])
            assert pipeline(Image.new("L", (2, 2), 5)).unique().tolist() == [250]
    finally:
        TRANSFORMS.module_dict.pop("InvertOfThisTest")
