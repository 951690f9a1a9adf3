"""The algorithm: what a forward does, which labels the loss uses, and which state it owns."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdeepcluster.models import ODC, ODCNeck, calibrate_batch_norm, extract

SIZES = {"num_samples": 120, "num_clusters": 6}


def build(**changes):
    torch.manual_seed(0)
    config = {
        **SIZES,
        "backbone": {"type": "LeNet5"},
        "neck": {"type": "ODCNeck", "hidden_channels": 16, "out_channels": 8},
        "head": {"type": "ClusterHead"},
        "memory": {"type": "ODCMemory", "min_cluster_size": 4},
        "data_preprocessor": {"type": "ImagePreprocessor", "mean": [70.0], "std": [80.0]},
    }
    return ODC(**(config | changes))


def images(size=120, seed=0):
    return torch.randn(size, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def odc():
    algorithm = build()
    algorithm.recluster(torch.randn(120, 8, generator=torch.Generator().manual_seed(1)), seed=0)
    return algorithm


class TestIteration:
    def test_loss_uses_the_labels_held_before_the_update(self, odc):
        # R43
        odc.train()
        batch = torch.arange(32)
        before = odc.labels()[batch].clone()
        seen = []
        odc.loss_module.register_forward_hook(lambda module, args, out: seen.append(args[1]))
        odc.loss(images(32), batch)
        odc.update_memory()
        assert torch.equal(seen[0], before)
        assert not torch.equal(odc.labels()[batch], before)

    def test_first_loss_is_about_log_k(self, odc):
        odc.train()
        loss = odc.loss(images(), torch.arange(120))["loss"].item()
        assert loss == pytest.approx(math.log(6), rel=0.02)

    def test_memory_takes_the_features_of_the_forward(self, odc):
        odc.memory.momentum = 1.0
        odc.eval()  # so that the same forward can be repeated
        batch = torch.arange(10, 20)
        odc.loss(images(10), batch)
        odc.update_memory()
        expected = F.normalize(odc(images(10), mode="tensor"), dim=1)
        torch.testing.assert_close(odc.memory.features[batch], expected)

    def test_gradient_does_not_reach_the_memory(self, odc):
        odc.loss(images(8), torch.arange(8))["loss"].backward()
        odc.update_memory()
        assert not odc.memory.features.requires_grad
        assert odc.backbone.conv1.weight.grad.abs().sum() > 0

    def test_forgotten_hook_is_an_error(self, odc):
        odc.loss(images(8), torch.arange(8))
        with pytest.raises(RuntimeError, match="OnlineClusteringHook"):
            odc.loss(images(8), torch.arange(8))
        with pytest.raises(RuntimeError, match="OnlineClusteringHook"):
            build().loss(images(8), torch.arange(8))

    def test_update_without_forward_is_an_error(self, odc):
        with pytest.raises(RuntimeError, match="needs a loss"):
            odc.update_memory()


class TestReusedRows:
    def make_small(self, odc):
        members = (odc.labels() == 2).nonzero().flatten()
        odc.memory._relabel(members[1:], torch.zeros_like(members[1:]))

    def test_row_is_copied_from_the_split_cluster(self, odc):
        # P10
        nn.init.normal_(odc.head.fc.bias)
        self.make_small(odc)
        parent = int(odc.cluster_counts.argmax())
        rows = odc.balance_clusters()
        assert {row for _, row in rows} == {2}
        distance = (odc.head.fc.weight[2] - odc.head.fc.weight[parent]).norm()
        assert 0 < distance < 0.5 * odc.head.fc.weight[parent].norm()
        assert odc.head.fc.bias[2] == odc.head.fc.bias[parent]

    def test_row_can_be_left_as_the_paper_does(self):
        odc = build(copy_reused_rows=False)
        odc.recluster(torch.randn(120, 8, generator=torch.Generator().manual_seed(1)), seed=0)
        weight = odc.head.fc.weight.clone()
        self.make_small(odc)
        assert odc.balance_clusters() == []
        assert odc.cluster_counts.min() >= 4
        assert torch.equal(odc.head.fc.weight, weight)


class TestState:
    def test_round_trip(self, odc):
        odc.finalize(torch.randn(120, 8), odc.labels())
        other = build()
        other.load_cluster_state(odc.cluster_state())
        assert other.initialized and other.cycle == 1
        for name, value in odc.cluster_state().items():
            assert torch.equal(value, other.cluster_state()[name]), name

    def test_keys_of_the_contract(self, odc):
        # DESIGN section 5
        odc.finalize(torch.randn(120, 8), odc.labels())
        state = odc.cluster_state()
        expected = {"labels", "prev_labels", "features", "centroids", "sums", "counts", "cycle"}
        assert expected | {"initialized"} <= state.keys()
        assert {"assigner.centroids", "assigner.metric"} <= state.keys()
        assert state["labels"].shape == (120,) and state["labels"].dtype == torch.int64
        assert state["features"].shape == (120, 8)
        assert all(isinstance(value, torch.Tensor) for value in state.values())

    def test_another_size_is_refused(self, odc):
        other = build(num_samples=100)
        with pytest.raises(ValueError, match=r"labels has shape \(120,\), expected \(100,\)"):
            other.load_cluster_state(odc.cluster_state())

    def test_assigner_of_features_that_are_the_memory(self, odc):
        assigner = odc.finalize(odc.memory.features, odc.labels())
        torch.testing.assert_close(assigner.centroids, odc.memory.centroids)
        assert assigner.metric == "l2"


class TestExtraction:
    class Loader:
        """Batches of images whose mean encodes their index."""

        def __init__(self, order, batch_size=7):
            self.order, self.batch_size = list(order), batch_size
            self.batch_sampler = type("Batches", (), {"sampler": self.order})

        def __iter__(self):
            for start in range(0, len(self.order), self.batch_size):
                index = torch.tensor(self.order[start : start + self.batch_size])
                inputs = torch.zeros(len(index), 1, 32, 32) + index.view(-1, 1, 1, 1)
                yield {"inputs": inputs.to(torch.uint8), "sample_idx": index}

    def test_rows_are_in_sample_order(self, odc):
        # R2, P13: whatever the order of the loader
        forward = extract(odc, self.Loader(range(50)), ("neck", "backbone", "conv_2"))
        backward = extract(odc, self.Loader(reversed(range(50))), ("neck", "backbone", "conv_2"))
        assert {name: tuple(value.shape) for name, value in forward.items()} == {
            "neck": (50, 8),
            "backbone": (50, 84),
            "conv_2": (50, 16),
        }
        for name, value in forward.items():
            torch.testing.assert_close(value, backward[name], rtol=1e-4, atol=1e-5)
        one = extract(odc, self.Loader([31]))["neck"]
        torch.testing.assert_close(one[0], forward["neck"][31], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("in_channels", [3, 2])
    def test_stages_of_resnet50_by_name(self, in_channels):
        # R21: the layers that the benchmarks of ODC probe
        names = [f"feat{number}" for number in range(1, 6)]
        backbone = {"type": "ResNet", "depth": 50, "in_channels": in_channels}
        odc = build(backbone=backbone).eval()
        images = torch.randn(2, in_channels, 32, 32)
        with torch.no_grad():
            found = odc.extract(images, [*names, "backbone"])
        assert [found[name].shape[1] for name in names] == [64, 256, 512, 1024, 2048]
        maps = odc.backbone.forward_stages(images)["feat3"]
        torch.testing.assert_close(found["feat3"], maps.mean(dim=(2, 3)))
        assert torch.equal(found["feat5"], found["backbone"])

    def test_layers_of_alexnet_by_name(self):
        # R18: the neck of ODC follows the last ReLU, DeepCluster clusters what is before it
        sizes = {"widths": (4, 8, 8, 8, 8), "fc_channels": (16, 12)}
        odc = build(backbone={"type": "AlexNet", "out_indices": (-1,), **sizes}).eval()
        with torch.no_grad():
            found = odc.extract(torch.randn(2, 3, 224, 224), ("relu_5", "fc_7", "backbone"))
        assert {name: value.shape[1] for name, value in found.items()} == {
            "relu_5": 8,
            "fc_7": 12,
            "backbone": 12,
        }
        assert torch.equal(found["backbone"], F.relu(found["fc_7"]))

    def test_flattened_maps_of_r41(self, odc):
        # every position, channel by channel; the plain name is the mean over positions
        names = ("conv_2.flat", "conv_2", "fc_1.flat", "neck.flat", "backbone.flat", "conv_2.avg3")
        found = extract(odc, self.Loader(range(20)), names)
        assert [found[name].shape[1] for name in names] == [1600, 16, 120, 8, 84, 144]
        squares = found["conv_2.flat"].view(20, 16, 10, 10)[:, :, :9, :9]
        squares = squares.reshape(20, 16, 3, 3, 3, 3).mean(dim=(3, 5))
        torch.testing.assert_close(found["conv_2.avg3"], squares.flatten(1), rtol=1e-4, atol=1e-5)
        means = found["conv_2.flat"].view(20, 16, 100).mean(dim=2)
        torch.testing.assert_close(means, found["conv_2"], rtol=1e-4, atol=1e-5)
        plain = extract(odc, self.Loader(range(20)))["neck"]
        assert torch.equal(plain, found["neck.flat"])
        with pytest.raises(ValueError, match=r"unknown layers \['fc_9.flat'\]"):
            extract(odc, self.Loader(range(5)), ("fc_9.flat",))

    def test_twice_the_same_and_nothing_disturbed(self, odc):
        odc.train()
        rng, state = torch.get_rng_state(), {k: v.clone() for k, v in odc.state_dict().items()}
        first = extract(odc, self.Loader(range(50)))["neck"]
        assert torch.equal(first, extract(odc, self.Loader(range(50)))["neck"])
        assert odc.training
        assert torch.equal(rng, torch.get_rng_state())
        for name, value in odc.state_dict().items():
            assert torch.equal(value, state[name])

    def test_features_are_taken_before_the_last_relu(self, odc):
        # R2, R17
        features = extract(odc, self.Loader(range(50)), ("backbone",))["backbone"]
        assert features.min() < 0

    def test_writes_into_given_matrices(self, odc):
        out = {"neck": torch.full((50, 8), -1.0)}
        result = extract(odc, self.Loader(range(50)), out=out)
        assert result["neck"] is out["neck"]
        assert (out["neck"] != -1).any(dim=1).all()

    def test_missing_repeated_and_unknown(self, odc):
        loader = self.Loader([0, 1, 2, 2])
        with pytest.raises(ValueError, match="4 rows of 3 distinct samples"):
            extract(odc, loader)
        with pytest.raises(ValueError, match=r"unknown layers \['feat9'\]; this model has"):
            extract(odc, self.Loader(range(5)), ("feat9",))

    def test_nan_is_refused_and_named(self, odc):
        nn.init.constant_(odc.neck.fc1.weight, float("nan"))
        with pytest.raises(ValueError, match=r"layer 'neck' hold NaN or infinity \(samples \[0, 1"):
            extract(odc, self.Loader(range(5)))


class TestCalibration:
    class Loader(TestExtraction.Loader):
        """The loader of a training: its sampler has epochs."""

        def __init__(self, order, batch_size=7):
            super().__init__(order, batch_size)
            self.epochs = []
            sampler = type("Sampler", (), {"set_epoch": lambda _, epoch: self.epochs.append(epoch)})
            self.batch_sampler = type("Batches", (), {"sampler": sampler()})

    def test_statistics_are_the_average_over_batches(self, odc):
        # P7: whatever the momentum of the layer, here 0.001
        seen = []
        odc.neck.fc0.register_forward_hook(lambda module, args, out: seen.append(out.mean(0)))
        loader = self.Loader(range(28))
        calibrate_batch_norm(odc, loader, num_passes=2)
        torch.testing.assert_close(odc.neck.bn0.running_mean, torch.stack(seen).mean(0))
        assert odc.neck.bn0.momentum == 0.001
        assert len(set(loader.epochs)) == 2 and min(loader.epochs) > 10**6

    def test_no_weight_moves_and_the_mode_stays(self, odc):
        odc.eval()
        before = {name: value.clone() for name, value in odc.named_parameters()}
        calibrate_batch_norm(odc, self.Loader(range(28)), num_passes=1)
        assert not odc.training
        for name, value in odc.named_parameters():
            assert torch.equal(value, before[name]) and value.grad is None


class TestNeck:
    def test_order_and_shapes(self):
        # R47
        neck = ODCNeck(2048)
        kinds = [type(layer).__name__ for layer in neck.children()]
        assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "ReLU"]
        assert neck.fc0.weight.shape == (512, 2048) and neck.fc1.weight.shape == (256, 512)
        assert neck.bn0.momentum == 0.001 and not neck.bn0.affine
        assert neck.drop.p == 0.5
        output = neck(torch.randn(4, 2048, 7, 7))
        assert output.shape == (4, 256) and output.min() >= 0

    def test_options(self):
        neck = ODCNeck(8, 16, 4, dropout=0.0, final_relu=False)
        assert neck(torch.randn(64, 8)).min() < 0
        assert neck.out_channels == 4


def test_preprocessor_by_hand_and_errors():
    odc = build()
    pixels = torch.full((2, 1, 32, 32), 150, dtype=torch.uint8)
    batch = {"inputs": pixels, "sample_idx": torch.arange(2)}
    data = odc.data_preprocessor(batch)
    torch.testing.assert_close(data["inputs"], torch.ones(2, 1, 32, 32))
    assert batch["inputs"].dtype == torch.uint8  # the batch itself is not changed
    same = odc.data_preprocessor(batch | {"inputs": pixels.float() / 255})
    torch.testing.assert_close(same["inputs"], data["inputs"])
    with pytest.raises(ValueError, match="RGB or Grayscale"):
        odc.data_preprocessor(batch | {"inputs": pixels.expand(2, 3, 32, 32)})
    with pytest.raises(ValueError, match=r"units of 0..255, got \[0.3\]"):
        build(data_preprocessor={"type": "ImagePreprocessor", "mean": [0.2], "std": [0.3]})
