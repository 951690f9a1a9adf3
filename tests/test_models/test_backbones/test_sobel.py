import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from mmdeepcluster.models.backbones import VGG16BN, AlexNet, AlexNetMicro, ResNet, fold_sobel
from mmdeepcluster.models.backbones.layers import Sobel

SMALL = dict(widths=(4, 8, 8, 8, 8), fc_channels=(16, 12))
VGG_SMALL = dict(widths=(4,) * 13, fc_channels=(8, 6))
CASES = {
    "AlexNet": (AlexNet, SMALL, 224),
    "AlexNetMicro": (AlexNetMicro, {}, 32),
    "VGG16BN": (VGG16BN, VGG_SMALL, 224),
    "ResNet": (ResNet, dict(depth=18), 64),
    "ResNet small": (ResNet, dict(depth=18, stem="small"), 16),
}


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("in_channels", [3, 1])
def test_equals_scipy_in_the_interior_r16(in_channels):
    x = images(2, in_channels, 11, 9)
    out = Sobel(in_channels)(x)
    assert out.shape == (2, 2, 11, 9)
    for image, gradients in zip(x.mean(dim=1).numpy(), out, strict=True):
        # scipy takes right minus left and lower minus upper
        for channel, axis in ((0, 1), (1, 0)):
            expected = -torch.from_numpy(ndimage.sobel(image, axis=axis, mode="constant"))
            torch.testing.assert_close(gradients[channel], expected, rtol=0, atol=1e-5)


def test_kernels_by_hand_r16():
    x = torch.zeros(1, 3, 5, 5)
    x[:, :, 2, 2] = 3.0
    horizontal, vertical = Sobel()(x)[0, :, 1:4, 1:4]
    torch.testing.assert_close(horizontal, 3 * torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]))
    torch.testing.assert_close(vertical, 3 * torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]))


def test_a_constant_image_has_no_gradient_r16():
    out = Sobel()(torch.full((1, 3, 8, 8), 0.7))
    torch.testing.assert_close(out[:, :, 1:-1, 1:-1], torch.zeros(1, 2, 6, 6))


def test_nothing_to_train_and_a_state_that_returns_r16():
    layer = Sobel()
    assert not list(layer.parameters())
    other = Sobel()
    other.gray.zero_()
    other.load_state_dict(layer.state_dict())
    x = images(1, 3, 6, 6)
    assert torch.equal(layer(x), other(x))


@pytest.mark.parametrize("in_channels", [2, 4])
def test_images_without_a_gray_value_are_refused(in_channels):
    with pytest.raises(ValueError, match=rf"3 channels or of 1, got .*in_channels={in_channels}"):
        AlexNetMicro(in_channels, sobel=True)


@pytest.fixture(params=CASES, name="pair")
def _pair(request):
    make, options, size = CASES[request.param]
    torch.manual_seed(0)
    net = make(**options, sobel=True, out_indices=(0,)).eval()
    return net, images(2, 3, size, size)


def test_the_option_feeds_gradients_to_the_first_convolution_r16(pair):
    net, x = pair
    assert net.in_channels == 3 and net.conv1.in_channels == net.stem_channels == 2
    torch.testing.assert_close(net(x)[0], net.run_stages(Sobel()(x), {0})[0])
    with pytest.raises(ValueError, match=r"in_channels=3.* 2 channel"):
        net(Sobel()(x))


def test_off_by_default(pair):
    net, _ = pair
    with torch.device("meta"):
        plain = type(net)(**({"depth": 18} if isinstance(net, ResNet) else {}))
    assert plain.sobel is None and plain.conv1.in_channels == 3


def test_images_of_one_channel():
    torch.manual_seed(0)
    net = AlexNetMicro(1, sobel=True).eval()
    x = images(2, 1, 32, 32)
    colours = AlexNetMicro(sobel=True).eval()
    colours.load_state_dict({**net.state_dict(), "sobel.gray": colours.sobel.gray})
    torch.testing.assert_close(net(x)[0], colours(x.expand(-1, 3, -1, -1))[0])


def test_folded_outputs_are_equal_borders_included_r24(pair):
    net, x = pair
    folded = fold_sobel(net)
    assert not any(isinstance(module, Sobel) for module in folded.modules())
    assert isinstance(net.sobel, Sobel)  # the original is as it was
    torch.testing.assert_close(folded(x)[0], net(x)[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", ["AlexNet", "AlexNetMicro", "ResNet small"])
def test_a_folded_network_gives_the_same_features_r24(case):
    make, options, size = CASES[case]
    torch.manual_seed(1)
    net = make(**options, sobel=True).eval()
    x = images(2, 3, size, size, seed=1)
    torch.testing.assert_close(fold_sobel(net)(x)[0], net(x)[0], rtol=0, atol=1e-4)


def test_plain_folding_is_one_larger_convolution_exact_inside_r24(pair):
    net, x = pair
    folded = fold_sobel(net, exact_borders=False)
    before, after = net.conv1, folded.conv1
    assert type(after) is nn.Conv2d
    assert after.weight.shape == (before.out_channels, 3, *(k + 2 for k in before.kernel_size))
    assert after.padding[0] == before.padding[0] + 1
    expected, found = net(x)[0], folded(x)[0]
    # outputs whose window, padding included, reaches over the border
    ring = -(-before.padding[0] // before.stride[0])
    inside = slice(ring, expected.shape[-1] - ring)
    torch.testing.assert_close(
        found[..., inside, inside], expected[..., inside, inside], rtol=0, atol=1e-4
    )
    if ring:
        assert (found - expected).abs().max() > 1e-3  # the border does differ
    else:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_folding_keeps_a_bias_and_the_mode():
    torch.manual_seed(0)
    net = AlexNetMicro(sobel=True).train()
    net.conv1 = nn.Conv2d(2, 48, 8, 3, padding=1)
    folded = fold_sobel(net)
    assert folded.training and folded.conv1.training
    x = images(1, 3, 32, 32)
    torch.testing.assert_close(folded.conv1(x), net.conv1(net.sobel(x)), rtol=0, atol=1e-4)


def test_nothing_to_fold():
    with pytest.raises(ValueError, match=r"AlexNetMicro has no Sobel layer to fold"):
        fold_sobel(AlexNetMicro())


def test_gradients_of_the_loss_reach_the_first_convolution():
    torch.manual_seed(0)
    net = AlexNetMicro(sobel=True)
    F.mse_loss(net(images(4, 3, 32, 32))[0], torch.zeros(4, 1024)).backward()
    assert net.conv1.weight.grad.abs().sum() > 0
