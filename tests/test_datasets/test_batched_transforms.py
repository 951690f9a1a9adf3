"""Batched transforms: what torchvision does to PIL images, with random numbers of each draw."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import functional as old_functional
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mmdeepcluster.datasets import CIFAR10, Digits
from mmdeepcluster.datasets.transforms.batched import (
    STEPS,
    BatchPipeline,
    SampleRandom,
    build_steps,
    color,
    warp,
)
from mmdeepcluster.datasets.transforms.batched.blur import blur_weights, gaussian_blur
from mmdeepcluster.datasets.transforms.batched.resample import axis_weights, resample
from mmdeepcluster.datasets.transforms.batched.steps import to_device

NUM = 64
CPU = torch.device("cpu")
BILINEAR, BICUBIC = v2.InterpolationMode.BILINEAR, v2.InterpolationMode.BICUBIC


def tensors(images):
    return torch.stack([F.pil_to_tensor(image) for image in images])


@pytest.fixture(scope="module")
def noise():
    """Colour images without any smoothness, and without equal sides."""
    pixels = np.random.default_rng(0).integers(0, 256, (NUM, 26, 20, 3), dtype=np.uint8)
    pixels[:8] //= 100  # greys, black and nearly black: the borders of HSV
    return [Image.fromarray(image) for image in pixels]


@pytest.fixture(scope="module")
def digits():
    dataset = Digits()
    return [dataset.load_image(index) for index in range(NUM)]


@pytest.fixture(scope="module")
def factors():
    return np.random.default_rng(1).uniform(0, 2.5, NUM).astype(np.float32)


def difference(batched, images):
    return (batched.int() - tensors(images).int()).abs()


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colours_are_those_of_pillow_to_the_bit(noise, digits, factors, name):
    values = factors / 2.5 - 0.5 if name == "hue" else factors
    values[:2] = 0.0, 0.5 if name == "hue" else 1.0
    batched, one = getattr(color, f"adjust_{name}"), getattr(F, f"adjust_{name}")
    for images in (noise, digits):
        changed = batched(tensors(images).float(), torch.from_numpy(values))
        reference = [one(image, float(f)) for image, f in zip(images, values, strict=True)]
        assert difference(changed, reference).max() == 0
        assert name == "contrast" or images is digits or not torch.equal(changed, tensors(images))


def test_every_colour_goes_through_hsv_as_in_pillow():
    """All differences of channels, since Pillow's 8-bit hue jumps at exact quotients."""
    levels = np.r_[0:256:15, 1, 2, 127, 128, 254].astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, len(levels), 3)
    images = [Image.fromarray(grid[0])] * 4
    turns = np.array([-0.5, -0.1, 0.0, 0.37], np.float32)
    changed = color.adjust_hue(tensors(images).float(), torch.from_numpy(turns))
    reference = [F.adjust_hue(image, float(t)) for image, t in zip(images, turns, strict=True)]
    assert difference(changed, reference).max() == 0


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("centre", [None, (3.0, 7.5)])
def test_rotations_and_affine_maps_are_those_of_pillow_to_the_bit(noise, interpolation, centre):
    rng, pixels = np.random.default_rng(2), tensors(noise)
    angles = rng.uniform(-200, 200, NUM)
    angles[:4] = 0.0, 90.0, 180.0, -90.0
    middle = centre or (10.0, 13.0)
    mode = v2.InterpolationMode(interpolation)

    def warped(maps, fill):
        if interpolation == "nearest":
            return warp.warp_nearest(pixels, torch.from_numpy(warp.fixed_point(maps)), fill)
        return warp.warp_bilinear(pixels, torch.from_numpy(maps), fill)

    options = {"interpolation": mode, "center": None if centre is None else list(centre)}
    maps = warp.rotation_matrices(angles, middle)
    turned = [
        F.rotate(i, float(a), fill=[9, 0, 77], **options)
        for i, a in zip(noise, angles, strict=True)
    ]
    assert difference(warped(maps, (9, 0, 77)), turned)[4:].max() == 0
    shifts = np.rint(rng.uniform(-6, 6, (NUM, 2)))
    scales, shears = rng.uniform(0.7, 1.3, NUM), rng.uniform(-15, 15, (NUM, 2))
    maps = warp.affine_matrices(angles, shifts, scales, shears, middle)
    moved = [
        F.affine(
            image,
            angle=float(angles[i]),
            translate=[int(value) for value in shifts[i]],
            scale=float(scales[i]),
            shear=shears[i].tolist(),
            **options,
        )
        for i, image in enumerate(noise)
    ]
    found = difference(warped(maps, None), moved)
    assert found[4:].max() == 0 and tensors(moved).float().std() > 50


@pytest.mark.parametrize("interpolation", [BILINEAR, BICUBIC])
@pytest.mark.parametrize("size", [(32, 32), (12, 31), (26, 9), (7, 5)])
def test_resizing_is_that_of_pillow(noise, interpolation, size):
    """Pillow 13 goes along columns first where that saves work, which rounds otherwise."""
    (step,) = build_steps([v2.Resize(size, interpolation=interpolation)])
    across_first = [
        image.resize((size[1], image.height), 2 + (interpolation == BICUBIC)).resize(
            size[::-1], 2 + (interpolation == BICUBIC)
        )
        for image in noise
    ]
    assert difference(step.apply(tensors(noise), {}), across_first).max() == 0
    reference = [F.resize(image, list(size), interpolation=interpolation) for image in noise]
    found = difference(step.apply(tensors(noise), {}), reference)
    # the cubic filter overshoots, and each order cuts that off elsewhere
    assert found.max() <= (2 if interpolation == BILINEAR else 20) and found.float().mean() < 0.4
    assert step.shape((3, 26, 20)) == (3, *size) and step.fixes_size


def test_shorter_side_is_resized_as_by_torchvision(noise):
    for size in (13, 30):
        (step,) = build_steps([v2.Resize(size)])
        reference = tensors([F.resize(image, [size]) for image in noise])
        assert step.shape((3, 26, 20)) == reference.shape[1:] and not step.fixes_size
        assert step.apply(tensors(noise), {}).shape == reference.shape


@pytest.mark.parametrize("images", ["noise", "digits"])
@pytest.mark.parametrize("size", [24, 10])
def test_crops_are_resized_as_by_pillow(request, images, size):
    """Weights of 15 bits instead of 22, and the order of passes: one level, two where both."""
    images = request.getfixturevalue(images)
    pixels = tensors(images)
    (step,) = build_steps([v2.RandomResizedCrop(size)])
    params = step.draw(SampleRandom.from_seeds(np.arange(NUM)), tuple(pixels.shape[1:]))
    names = ("top", "left", "height", "width")
    reference = [
        F.resized_crop(image, *(int(params[name][i]) for name in names), [size, size])
        for i, image in enumerate(images)
    ]
    found = difference(step.apply(pixels, to_device(params, CPU)), reference)
    assert found.max() <= 2 and (found > 1).float().mean() < 0.002
    assert (found > 0).float().mean() < 0.06


def test_weights_are_exact_in_any_order_of_summing():
    """Whole numbers, and no partial sum above 2^24, so that fp32 adds without rounding."""
    starts, lengths = torch.arange(20.0), torch.arange(20.0) + 1
    for name, most in (("bilinear", 1.0), ("bicubic", 1.5)):
        for size in (3, 16, 50):
            weights = axis_weights(starts, lengths, 40, size, name, torch.float32)
            assert torch.equal(weights, weights.round())
            assert (weights.abs().sum(2) * 255 < 2**24).all()
            assert (weights.abs().sum(2) <= most * 2**15 + 8).all()
            assert ((weights.sum(2) - 2**15).abs() <= 8).all()
            inside = (torch.arange(40) >= starts[:, None]) & (
                torch.arange(40) < (starts + lengths)[:, None]
            )
            assert (weights * ~inside[:, None]).abs().max() == 0
    white = torch.full((20, 1, 40, 40), 255, dtype=torch.uint8)
    assert (resample(white, weights, weights) == 255).all()


def test_products_ignore_the_precision_that_networks_may_use(noise):
    (step,) = build_steps([v2.RandomResizedCrop(24)])
    params = step.draw(SampleRandom.from_seeds(np.arange(NUM)), (3, 26, 20))
    exact = step.apply(tensors(noise), to_device(params, CPU))
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(step.apply(tensors(noise), to_device(params, CPU)), exact)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_blur_is_that_of_torchvision(noise):
    sigmas = np.random.default_rng(3).uniform(0.1, 2.0, NUM)
    weights = [torch.from_numpy(blur_weights(sigmas, size)) for size in (5, 9)]
    blurred = gaussian_blur(tensors(noise), *weights)
    pairs = zip(noise, sigmas.tolist(), strict=True)
    reference = [F.gaussian_blur(image, [5, 9], [sigma, sigma]) for image, sigma in pairs]
    found = difference(blurred, reference)
    assert found.max() <= 1 and (found > 0).float().mean() < 1e-3
    (step,) = build_steps([v2.GaussianBlur(51)])
    with pytest.raises(ValueError, match=r"kernel_size=.* is too large for images of 20x26"):
        step.apply(tensors(noise), to_device(step.draw(random(NUM), (3, 26, 20)), CPU))


@pytest.mark.parametrize(
    "transform",
    [
        v2.CenterCrop((13, 30)),
        v2.Grayscale(1),
        v2.Grayscale(3),
        v2.RGB(),
        v2.RandomGrayscale(1.0),
        v2.RandomHorizontalFlip(1.0),
        v2.RandomVerticalFlip(1.0),
        v2.RandomCrop((26, 20)),
        v2.RandomCrop((30, 24), padding=(2, 2), padding_mode="reflect"),
        v2.RandomApply([v2.RandomHorizontalFlip(1.0), v2.Grayscale(3)], p=1.0),
        v2.RandomApply([v2.Grayscale(3)], p=0.0),
    ],
)
def test_what_is_not_left_to_chance(noise, transform):
    pixels = tensors(noise)
    pipeline = BatchPipeline(build_steps([transform]))
    reference = tensors([transform(image) for image in noise])
    assert torch.equal(pipeline(pixels, np.arange(NUM)), reference)
    assert pipeline.shape((3, 26, 20)) == reference.shape[1:]


def random(number, first=0):
    return SampleRandom.from_seeds(np.arange(first, first + number))


def same_distribution(ours, theirs):
    return stats.ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > 0.01


DRAWS = 3000


def params_of_torchvision(transform, shape):
    torch.manual_seed(0)
    blank = [Image.new("RGB", (shape[2], shape[1]))]
    return [transform.make_params(blank) for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (3, 32, 32)),
        ({"scale": (0.3, 1.0), "ratio": (0.5, 3.0)}, (3, 40, 100)),
        ({"scale": (0.9, 1.0), "ratio": (0.95, 1.05)}, (3, 20, 60)),  # the central crop
        ({"scale": (0.5, 1.0)}, (3, 50, 20)),
    ],
)
def test_crops_are_distributed_as_in_torchvision(options, shape):
    transform = v2.RandomResizedCrop(8, **options)
    (step,) = build_steps([transform])
    ours, theirs = step.draw(random(DRAWS), shape), params_of_torchvision(transform, shape)
    for name in ("top", "left", "height", "width"):
        assert same_distribution(ours[name], [params[name] for params in theirs]), name
    assert (ours["top"] + ours["height"] <= shape[1]).all() and (ours["top"] >= 0).all()
    assert (ours["left"] + ours["width"] <= shape[2]).all() and (ours["left"] >= 0).all()


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomAffine(10, translate=(0.1, 0.2), scale=(0.9, 1.2)),
        v2.RandomAffine((-5, 30), shear=(-8, 8, 2, 20)),
        v2.RandomAffine(0, translate=(0.06, 0.06), scale=(0.5, 0.6), shear=7),
    ],
)
def test_affine_maps_are_distributed_as_in_torchvision(transform):
    (step,) = build_steps([transform])
    ours = step.draw(random(DRAWS), (3, 32, 40))["maps"] / 2**16
    maps = np.array(
        [
            old_functional._get_inverse_affine_matrix(
                [20.0, 16.0], p["angle"], p["translate"], p["scale"], p["shear"]
            )
            for p in params_of_torchvision(transform, (3, 32, 40))
        ]
    )
    maps[:, 2] += 0.5 * (maps[:, 0] + maps[:, 1])
    maps[:, 5] += 0.5 * (maps[:, 3] + maps[:, 4])
    for column in range(6):
        assert same_distribution(ours[:, column], np.floor(maps[:, column] * 2**16 + 0.5) / 2**16)


def test_angles_blurs_and_windows_are_distributed_as_in_torchvision():
    turn, blur = v2.RandomRotation((-3, 20)), v2.GaussianBlur(5, (0.2, 1.5))
    rotate, soften, cut = build_steps([turn, blur, v2.RandomCrop(6, padding=2)])
    sines = rotate.draw(random(DRAWS), (3, 32, 32))["maps"][:, 3] / 2**16
    theirs = [math.sin(math.radians(p["angle"])) for p in params_of_torchvision(turn, (3, 32, 32))]
    assert same_distribution(sines, theirs)
    centre = soften.draw(random(DRAWS), (3, 32, 32))["across"][:, 2]
    sigmas = np.array([p["sigma"][0] for p in params_of_torchvision(blur, (3, 32, 32))])
    assert same_distribution(centre, blur_weights(sigmas, 5)[:, 2])
    corners = cut.draw(random(DRAWS), (3, 10, 7))
    for name, number in (("top", 9), ("left", 6)):
        counts = np.bincount(corners[name], minlength=number)
        assert len(counts) == number and stats.chisquare(counts).pvalue > 0.01


def test_jitter_is_distributed_as_in_torchvision():
    transform = v2.ColorJitter(brightness=0.4, contrast=(0.2, 0.9), saturation=1.0, hue=0.1)
    (step,) = build_steps([transform])
    turns = step.draw(random(DRAWS), (3, 8, 8))["turns"]
    names, order = ("brightness", "contrast", "saturation", "hue"), np.full((DRAWS, 4), -1)
    factors = {name: np.full(DRAWS, np.nan) for name in names}
    for number, part in enumerate(turns):
        order[part["rows"], number // 4] = number % 4
        factors[names[number % 4]][part["rows"]] = part["factors"]
    assert (np.sort(order, axis=1) == np.arange(4)).all()
    codes = np.unique(order @ [64, 16, 4, 1], return_counts=True)[1]
    assert len(codes) == 24 and stats.chisquare(codes).pvalue > 0.01
    theirs = params_of_torchvision(transform, (3, 8, 8))
    for name in names:
        assert same_distribution(factors[name], [p[f"{name}_factor"] for p in theirs]), name
    columns = np.stack([*factors.values(), order[:, 0]])
    assert np.abs(np.corrcoef(columns) - np.eye(5)).max() < 0.06


def test_jitter_makes_its_changes_in_the_order_that_was_drawn(noise):
    transform = v2.ColorJitter(brightness=0.4, saturation=1.0, hue=0.5)
    (step,) = build_steps([transform])
    params = step.draw(random(NUM), (3, 26, 20))
    reference = list(noise)
    for number, part in enumerate(params["turns"]):
        change = (F.adjust_brightness, F.adjust_saturation, F.adjust_hue)[number % 3]
        for row, factor in zip(part["rows"], part["factors"], strict=True):
            reference[row] = change(reference[row], float(factor))
    assert difference(step.apply(tensors(noise), to_device(params, CPU)), reference).max() == 0


def test_chances():
    steps = build_steps(
        [v2.RandomHorizontalFlip(0.3), v2.RandomGrayscale(0.2), v2.RandomApply([v2.RGB()], 0.7)]
    )
    for number, (step, p) in enumerate(zip(steps, (0.3, 0.2, 0.7), strict=True)):
        chosen = step.draw(random(DRAWS).child(number), (3, 8, 8))["chosen"]
        assert stats.binomtest(len(chosen), DRAWS, p).pvalue > 0.01


def test_random_numbers_are_uniform_and_independent():
    """Seeds that count up, streams and calls: none may be seen in another."""
    streams = [random(4000), random(4000).child(0), random(4000).child(1)]
    numbers = np.stack([n for s in streams for n in (s.uniform(), s.uniform())])
    for row in numbers:
        assert stats.kstest(row, "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(numbers) - np.eye(6)).max() < 0.06
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in numbers]
    assert np.abs(neighbours).max() < 0.06
    many = random(3000).below(np.array(7))
    assert stats.chisquare(np.bincount(many, minlength=7)).pvalue > 0.01
    # a known value, so that resumed trainings see the same numbers in later versions
    assert random(1, 5).child(2).uniform(count=2)[0].tolist() == KNOWN


KNOWN = [0.1701460778272077, 0.6017293154182611]

PIPELINE = [
    v2.RGB(),
    v2.RandomResizedCrop(24, scale=(0.3, 1.0)),
    v2.RandomHorizontalFlip(),
    v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
    v2.RandomRotation(20, interpolation=BILINEAR),
    v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    v2.RandomGrayscale(0.2),
    v2.RandomApply([v2.GaussianBlur(5), v2.RandomVerticalFlip()], p=0.5),
    v2.RandomCrop(24, padding=2),
]


def test_a_sample_does_not_depend_on_its_batch(noise):
    """R13: the bits follow from the image and its seed alone."""
    pipeline, pixels = BatchPipeline(build_steps(PIPELINE)), tensors(noise)
    seeds = np.random.default_rng(4).integers(0, 2**63, NUM)
    whole = pipeline(pixels.clone(), seeds)
    order = np.random.default_rng(5).permutation(NUM)
    assert torch.equal(pipeline(pixels[order], seeds[order]), whole[order])
    for size in (1, 3, 37):
        parts = [
            pipeline(pixels[first : first + size].clone(), seeds[first : first + size])
            for first in range(0, NUM, size)
        ]
        assert torch.equal(torch.cat(parts), whole)
    assert len(whole.flatten(1).unique(dim=0)) >= NUM - 8  # some are black
    again = pipeline(pixels[-1:].repeat(NUM, 1, 1, 1), seeds)
    assert len(again.flatten(1).unique(dim=0)) == NUM


def test_a_pipeline_may_be_split(noise):
    """What held images have behind them does not change the random numbers of the rest."""
    steps, pixels, seeds = build_steps(PIPELINE), tensors(noise), np.arange(NUM)
    whole = BatchPipeline(steps)(pixels.clone(), seeds)
    first = BatchPipeline(steps[:2])(pixels.clone(), seeds)
    assert torch.equal(BatchPipeline(steps[2:], first=2)(first, seeds), whole)


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match="cannot execute RandomPerspective; it executes CenterCr"):
        build_steps([v2.RandomPerspective()])
    with pytest.raises(ValueError, match=r"set train_dataloader.transforms='torchvision'"):
        build_steps([v2.RandomApply([v2.RandomErasing()])])
    for transform, reason in (
        (v2.Resize(8, interpolation=v2.InterpolationMode.NEAREST), "interpolation='nearest'"),
        (v2.Resize(None, max_size=8), "max_size"),
        (v2.RandomRotation(5, expand=True), "expand=True"),
        (v2.RandomAffine(5, interpolation=BICUBIC), "interpolation='bicubic' is none of nearest"),
        (v2.RandomAffine(5, fill={torch.Tensor: 1}), "fill must be"),
    ):
        with pytest.raises(ValueError, match=f"{reason}.*transforms='torchvision'"):
            build_steps([transform])
    (apply,) = build_steps([v2.RandomApply([v2.CenterCrop(4)])])
    with pytest.raises(ValueError, match=r"CenterCrop in it makes \(3, 4, 4\) of \(3, 8, 8\)"):
        apply.shape((3, 8, 8))
    (cut,) = build_steps([v2.RandomCrop(9)])
    with pytest.raises(ValueError, match=r"size=\(9, 9\) is larger than images of \(8, 8\)"):
        cut.shape((3, 8, 8))
    assert all(issubclass(kind, v2.Transform) for kind in STEPS)


def check_pipeline(images, transforms, shape):
    """Means, contrasts and places of ink of many augmented images against torchvision's."""
    torch.manual_seed(0)
    theirs = tensors([v2.Compose(transforms)(image) for image in images]).double()
    ours = BatchPipeline(build_steps(transforms))(tensors(images), np.arange(len(images))).double()
    assert ours.shape[1:] == shape == theirs.shape[1:]
    places = torch.linspace(-1, 1, shape[2], dtype=torch.double)
    measures = {
        "mean": lambda x: x.mean((1, 2, 3)),
        "contrast": lambda x: x.flatten(1).std(1),
        "colour": lambda x: (x.amax(1) - x.amin(1)).mean((1, 2)),
        "across": lambda x: (x.mean(1) * places).sum((1, 2)) / (1 + x.mean(1).sum((1, 2))),
        "down": lambda x: (x.mean(1) * places[:, None]).sum((1, 2)) / (1 + x.mean(1).sum((1, 2))),
        "roughness": lambda x: x.diff(dim=3).abs().mean((1, 2, 3)),
        "corner": lambda x: x[:, :, 0, 0].mean(1),
    }
    for name, measure in measures.items():
        assert same_distribution(measure(ours), measure(theirs)), name


def test_augmented_digits_are_distributed_as_those_of_torchvision():
    dataset = Digits()
    images = [dataset.load_image(index) for index in range(1000)]
    images = [image.resize((32, 32), Image.BILINEAR) for image in images]
    transforms = [v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1))]
    check_pipeline(images, transforms, (1, 32, 32))


def test_augmented_photographs_are_distributed_as_those_of_torchvision(real_data):
    dataset = CIFAR10(real_data)
    images = [dataset.load_image(index) for index in range(1000)]
    transforms = [
        v2.RandomResizedCrop(32, scale=(0.3, 1.0)),
        v2.RandomHorizontalFlip(),
        v2.RandomRotation(2),
        v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        v2.RandomGrayscale(0.2),
    ]
    check_pipeline(images, transforms, (3, 32, 32))
