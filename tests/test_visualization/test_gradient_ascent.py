"""Gradient ascent on units whose best image is known."""

import pytest
import torch

from mmdeepcluster.visualization.gradient_ascent import (
    AscentOptions,
    ascend,
    blurred,
    options_for,
    pink_noise,
    variation_gradient,
)


def cosine(first, second):
    return float(torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0))


def test_linear_units_get_the_directions_of_their_weights():
    weights = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    start = pink_noise((3, 2, 6, 6), seed=1)
    found = ascend(
        lambda x: (x * weights).sum(dim=(1, 2, 3)), start, AscentOptions(steps=300), seed=0
    )
    for image, weight in zip(found, weights, strict=True):
        assert cosine(image, weight) > 0.999
    # x <- (1 - decay) x + rate g/|g| ends at length rate / decay
    size = found.square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(size, torch.full((3,), 0.08 / 0.02), rtol=0.01)


def test_pixels_stay_within_bounds():
    low, high = torch.full((1, 1, 1, 1), -0.5), torch.full((1, 1, 1, 1), 0.25)
    found = ascend(
        lambda x: x.mean(dim=(1, 2, 3)),
        torch.zeros(1, 1, 4, 4),
        AscentOptions(steps=50),
        seed=0,
        low=low,
        high=high,
    )
    assert torch.equal(found, torch.full((1, 1, 4, 4), 0.25))


def test_a_unit_without_gradient_decays_and_changes_no_other():
    start = torch.ones(2, 1, 4, 4)
    mask = torch.tensor([0.0, 1.0])
    options = AscentOptions(steps=10)
    found = ascend(lambda x: mask * x.mean(dim=(1, 2, 3)), start, options, seed=0)
    assert torch.allclose(found[0], torch.full((1, 4, 4), 0.98**10), atol=1e-6)
    assert float(found[1].min()) > 1


def test_variation_and_blur_make_images_smooth():
    weight = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))

    def roughness(**options):
        found = ascend(
            lambda x: (x * weight).sum(dim=(1, 2, 3)),
            torch.zeros(1, 1, 16, 16),
            AscentOptions(steps=60, **options),
            seed=0,
        )
        found = found / found.std()
        return float((found[..., 1:] - found[..., :-1]).abs().mean())

    plain = roughness()
    assert roughness(variation=0.3) < 0.8 * plain
    assert roughness(blur=3.0) < 0.95 * plain


def test_gradient_of_the_variation_by_hand():
    image = torch.zeros(1, 1, 3, 3)
    assert torch.equal(variation_gradient(image), torch.zeros(1, 1, 3, 3))
    image[0, 0, 1, 1] = 1.0
    # sqrt(dx^2 + dy^2) of the pixel itself, |dy| of the one above, |dx| of the one to the left
    expected = 2 / 2**0.5 + 1 + 1
    assert float(variation_gradient(image)[0, 0, 1, 1]) == pytest.approx(expected, abs=1e-3)


def test_blur_keeps_constants_and_the_mean_of_a_point():
    assert torch.allclose(blurred(torch.ones(1, 2, 9, 9), 1.0), torch.ones(1, 2, 9, 9))
    point = torch.zeros(1, 1, 15, 15)
    point[0, 0, 7, 7] = 1.0
    soft = blurred(point, 1.0)
    assert float(soft.sum()) == pytest.approx(1.0, abs=1e-5)
    assert torch.allclose(soft, soft.transpose(2, 3)) and float(soft.max()) < 0.2
    assert torch.equal(blurred(point, 0.1), point)


def test_noise_is_pink_and_seeded():
    noise = pink_noise((2, 3, 64, 64), seed=3)
    assert torch.equal(noise, pink_noise((2, 3, 64, 64), seed=3))
    assert torch.allclose(noise.std(dim=(1, 2, 3)), torch.ones(2), atol=1e-4)
    power = torch.fft.rfft2(noise).abs().square().mean(dim=(0, 1))[0]
    assert float(power[1:5].mean()) > 20 * float(power[20:30].mean())


def test_deep_layers_get_more_steps_and_regularisation():
    first, last = options_for(0.0, 224), options_for(1.0, 224)
    assert first.steps < last.steps and first.jitter < last.jitter
    assert first.blur < last.blur and first.variation < last.variation
    assert options_for(0.5, 32, steps=7).steps == 7
    with pytest.raises(ValueError, match="steps must be at least 1"):
        options_for(0.5, 32, steps=0)
