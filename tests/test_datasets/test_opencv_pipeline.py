"""Pipelines by OpenCV: the draws of torchvision, nearly the pixels of Pillow (R3, R48)."""

import pickle
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from mmdeepcluster.datasets import build_pipeline
from mmdeepcluster.datasets.image_view import seeded_cpu_rng
from mmdeepcluster.datasets.jpeg_file import open_jpeg
from mmdeepcluster.datasets.transforms.opencv import OpenCVPipeline
from mmdeepcluster.datasets.transforms.opencv.draws import draw
from mmdeepcluster.datasets.transforms.opencv.geometry import resized_size

TO_TENSOR = dict(type="PILToTensor")
JITTER = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5)
ODC = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=96),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="RandomRotation", degrees=2),
    JITTER,
    dict(type="RandomGrayscale", p=0.2),
]
BUILDERS = (build_pipeline, OpenCVPipeline)


def photo(seed, size=(250, 188)):
    """A picture with a spectrum like that of photographs, in all hues and with some sharp edges."""
    rng, (width, height) = np.random.default_rng(seed), size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        noise = rng.standard_normal((2, *frequency.shape)) / frequency**1.5
        plane = np.fft.irfft2(noise[0] + 1j * noise[1], s=(height, width))
        planes.append(128 + 45 * plane / plane.std())
    pixels = np.stack(planes, axis=-1)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def photos():
    return [photo(seed) for seed in range(12)]


def compare(steps, images):
    """Largest and mean absolute difference to torchvision, in units of 0..255."""
    reference, ours = build_pipeline([*steps, TO_TENSOR]), OpenCVPipeline([*steps, TO_TENSOR])
    largest, means = 0, []
    for seed, image in enumerate(images):
        with seeded_cpu_rng(seed):
            wanted = reference(image)
            wanted_state = torch.get_rng_state()
        with seeded_cpu_rng(seed):
            found = ours(image)
            assert torch.equal(torch.get_rng_state(), wanted_state), "not the same draws"
        assert found.shape == wanted.shape and found.dtype == wanted.dtype == torch.uint8
        difference = (found.int() - wanted.int()).abs()
        largest = max(largest, int(difference.max()))
        means.append(float(difference.float().mean()))
    return largest, float(np.mean(means))


@pytest.mark.parametrize(
    "steps",
    [
        [dict(type="RGB")],
        [dict(type="CenterCrop", size=(100, 77))],
        [dict(type="CenterCrop", size=(301, 100))],
        [dict(type="RandomCrop", size=80)],
        [dict(type="RandomCrop", size=80, padding=[7, 3], padding_mode="reflect")],
        [dict(type="RandomCrop", size=400, pad_if_needed=True, fill=[1, 2, 3])],
        [dict(type="RandomCrop", size=(188, 250), padding=4, padding_mode="symmetric")],
        [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip")],
        [dict(type="Grayscale")],
        [dict(type="Grayscale"), dict(type="RGB")],
        [dict(type="Grayscale", num_output_channels=3)],
        [dict(type="RandomGrayscale", p=0.5)],
    ],
)
def test_equal_up_to_one_level(steps, photos):
    largest, mean = compare(steps, photos)
    assert largest <= 1 and mean < 0.01


@pytest.mark.parametrize(
    ("steps", "largest_allowed", "mean_allowed"),
    [
        ([dict(type="ColorJitter", brightness=0.9)], 1, 0.01),
        ([dict(type="ColorJitter", contrast=0.9)], 2, 0.1),
        ([dict(type="ColorJitter", saturation=1.0)], 1, 0.01),
        ([dict(type="Resize", size=96)], 1, 0.1),
        ([dict(type="Resize", size=(90, 300))], 1, 0.3),
        ([dict(type="Resize", size=96, interpolation="bicubic")], 3, 0.2),
        ([dict(type="RandomResizedCrop", size=96)], 1, 0.1),
        ([dict(type="RandomResizedCrop", size=(96, 40), ratio=(2.0, 3.0))], 1, 0.1),
        # a level of difference is enlarged by the next factor
        ([dict(type="Grayscale"), JITTER, dict(type="RandomGrayscale", p=0.5)], 4, 0.01),
        ([dict(type="GaussianBlur", kernel_size=[9, 5], sigma=(0.1, 2.0))], 2, 0.1),
    ],
)
def test_mean_and_largest_difference(steps, largest_allowed, mean_allowed, photos):
    largest, mean = compare(steps, photos)
    assert largest <= largest_allowed and mean < mean_allowed


@pytest.mark.parametrize(
    ("steps", "mean_allowed"),
    [
        ([dict(type="ColorJitter", hue=0.5)], 0.8),
        ([JITTER], 1.0),
        ([dict(type="RandomRotation", degrees=2)], 0.1),
        ([dict(type="RandomRotation", degrees=180, fill=9, center=[30, 40])], 0.1),
        ([dict(type="RandomRotation", degrees=30, interpolation="bilinear", fill=[9, 8, 7])], 1.0),
        (
            [
                dict(
                    type="RandomAffine",
                    degrees=20,
                    translate=(0.1, 0.2),
                    scale=(0.7, 1.4),
                    shear=[-9, 9, -5, 5],
                )
            ],
            0.1,
        ),
        ([dict(type="RandomAffine", degrees=0, shear=20, interpolation="bilinear")], 1.0),
        ([dict(type="RandomApply", p=0.5, transforms=[JITTER, *ODC[2:4]])], 0.8),
        (ODC, 1.1),
    ],
)
def test_mean_difference(steps, mean_allowed, photos):
    """A pixel that lies between two may fall to either, so the largest difference says nothing."""
    assert compare(steps, photos)[1] < mean_allowed


def test_the_parameters_are_those_of_torchvision(monkeypatch, photos):
    """Not only as a distribution: with one seed, the same crop, angle, order and factors."""
    drawn = []
    for kind in (v2.RandomResizedCrop, v2.RandomRotation, v2.ColorJitter):

        def record(self, inputs, original=kind.make_params):
            found = original(self, inputs)
            drawn.append({key: v.tolist() if key == "fn_idx" else v for key, v in found.items()})
            return found

        monkeypatch.setattr(kind, "make_params", record)
    sequences = []
    for build in BUILDERS:
        pipeline = build([*ODC, TO_TENSOR])
        for seed, image in enumerate(photos):
            with seeded_cpu_rng(seed):
                pipeline(image)
        sequences.append(drawn.copy())
        drawn.clear()
    assert sequences[0] == sequences[1] and len(sequences[0]) == 3 * len(photos)


def test_older_torchvision_draws_by_another_name():
    class Old:
        def _get_params(self, inputs):
            return {"inputs": inputs}

    assert draw(Old()) == {"inputs": []}


def test_distributions(photos):
    """What comes out over many other draws has torchvision's mean and deviation everywhere."""
    image = photos[0].resize((60, 48))
    pipelines = [build([dict(ODC[1], size=24), *ODC[2:], TO_TENSOR]) for build in BUILDERS]
    drawn = []
    for seed, pipeline in enumerate(pipelines):
        with seeded_cpu_rng(seed):
            drawn.append(torch.stack([pipeline(image) for _ in range(600)]).double())
    reference, ours = drawn
    difference = (reference.mean(0) - ours.mean(0)).abs()
    # five standard errors of a difference of two means
    assert (difference < 5 * reference.std(0) * (2 / 600) ** 0.5).all()
    assert (reference.std(0) / ours.std(0)).log().abs().max() < 0.3
    of_images = [images.mean((1, 2, 3)) for images in drawn]
    error = of_images[0].std() * (2 / 600) ** 0.5
    assert abs(of_images[0].mean() - of_images[1].mean()) < 4 * error


@pytest.mark.parametrize("form", ["JPEG", "array"])
def test_files_are_decoded_at_a_fraction_where_the_crop_allows_it(form, monkeypatch):
    image = photo(3, size=(640, 480))
    data = BytesIO()
    image.save(data, "JPEG", quality=92)
    file = open_jpeg(data.getvalue(), None)
    decoded = Image.open(BytesIO(data.getvalue()))
    asked = []
    original = type(file).decode

    def decode(self, reduction=1):
        asked.append(reduction)
        return original(self, reduction)

    monkeypatch.setattr(type(file), "decode", decode)
    # side 480 is 7.5, 3.0, 2.98 and 1.0 times these
    for size, reduction in ((64, 4), (160, 2), (161, 1), (480, 1)):
        steps = [dict(type="Resize", size=size), dict(type="CenterCrop", size=size), TO_TENSOR]
        found = OpenCVPipeline(steps)(file if form == "JPEG" else decoded)
        difference = (found.int() - build_pipeline(steps)(decoded).int()).abs().float().mean()
        assert difference < (2 if form == "JPEG" and reduction > 1 else 0.1)
        if form == "JPEG":
            assert asked.pop() == reduction
    assert not asked


@pytest.mark.parametrize("size", [(480, 640), (641, 479), (300, 300), (1, 7)])
@pytest.mark.parametrize(
    ("wanted", "max_size"), [(96, None), (96, 100), (None, 77), ([96], None), ([50, 60], None)]
)
def test_sizes_of_resize(size, wanted, max_size):
    reference = v2.Resize(wanted, max_size=max_size)(torch.zeros(1, *size, dtype=torch.uint8))
    assert resized_size(size, wanted, max_size) == tuple(reference.shape[1:])


def test_what_follows_the_tensor_is_torchvisions(photos):
    rest = [dict(type="ToDtype", dtype="float32", scale=True), dict(type="RandomErasing", p=1.0)]
    for first in (TO_TENSOR, dict(type="ToImage")):
        outputs = []
        for build in BUILDERS:
            with seeded_cpu_rng(4):
                outputs.append(build([first, *rest])(photos[0]))
        assert torch.equal(*outputs) and type(outputs[0]) is type(outputs[1])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            dict(type="RandomPerspective"),
            r"cannot execute 'RandomPerspective'.*CenterCrop, ColorJitter, GaussianBlur"
            r".*RandomApply.*RandomVerticalFlip, Resize: set train_dataloader",
        ),
        (
            dict(type="RandomApply", transforms=[dict(type="RandomInvert")]),
            "cannot execute 'RandomInvert'",
        ),
        (dict(type="RandomRotation", degrees=9, expand=True), "'RandomRotation' with expand=True"),
        (
            dict(type="RandomRotation", degrees=9, interpolation="bicubic"),
            "'RandomRotation' with interpolation 'nearest' or 'bilinear', not 'bicubic'",
        ),
        (
            dict(type="Resize", size=9, interpolation="nearest"),
            "'Resize' with interpolation 'bilinear' or 'bicubic', not 'nearest'",
        ),
        (dict(type="Resise", size=9), "did you mean 'Resize'"),
    ],
)
def test_what_it_cannot_execute_is_refused(step, message):
    with pytest.raises(ValueError, match=message):
        OpenCVPipeline([step, TO_TENSOR])


def test_a_tensor_is_needed():
    with pytest.raises(TypeError, match=r"add dict\(type='PILToTensor'\)"):
        OpenCVPipeline([dict(type="RGB")])


def test_opencv_starts_no_threads_in_any_process(photos):
    before = cv2.getNumThreads()
    try:
        pipeline = OpenCVPipeline([*ODC, TO_TENSOR])
        assert cv2.getNumThreads() <= 1
        cv2.setNumThreads(2)
        copy = pickle.loads(pickle.dumps(pipeline))
        assert cv2.getNumThreads() <= 1
        with seeded_cpu_rng(0):
            first = pipeline(photos[0])
        with seeded_cpu_rng(0):
            assert torch.equal(copy(photos[0]), first)
        assert "OpenCV: Compose" in repr(copy) and "PILToTensor" in repr(copy)
    finally:
        cv2.setNumThreads(before)
