"""Configs of mmselfsup as ours; the files are written here, with keys that its releases have."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdeepcluster.apis.mmselfsup import convert_mmselfsup
from mmdeepcluster.datasets.transforms import build_pipeline
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.engine.config_schema import check_config
from mmdeepcluster.registry import ALGORITHMS

TOOL = Path(__file__).parents[2] / "tools" / "model_converters" / "mmselfsup_config.py"

MODEL = """
num_classes = 4000
model = dict(
    type='ODC',
    backbone=dict(type='ResNet', depth=18, in_channels=3, out_indices=[4],
                  norm_cfg=dict(type='SyncBN')),
    neck=dict(type='ODCNeck', in_channels=512, hid_channels=128, out_channels=64,
              with_avg_pool=True),
    head=dict(type='ClsHead', with_avg_pool=False, in_channels=64, num_classes=num_classes),
    memory_bank=dict(type='ODCMemory', length=1281167, feat_dim=64, momentum=0.4,
                     num_classes=num_classes, min_cluster=15, debug=False))
"""
OLD = """
_base_ = ['model.py']
img_norm_cfg = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_pipeline = [
    dict(type='RandomResizedCrop', size=224, scale=(0.2, 1.0)),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomRotation', degrees=2),
    dict(type='RandomAppliedTrans', p=0.8, transforms=[
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5)]),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='GaussianBlur', sigma_min=0.1, sigma_max=2.0),
    dict(type='ToTensor'),
    dict(type='Normalize', **img_norm_cfg),
]
extract_pipeline = [
    dict(type='Resize', size=256), dict(type='CenterCrop', size=224), dict(type='ToTensor'),
    dict(type='Normalize', **img_norm_cfg),
]
data = dict(
    samples_per_gpu=32, workers_per_gpu=6, drop_last=True,
    train=dict(type='DeepClusterDataset', prefetch=False, pipeline=train_pipeline,
               data_source=dict(type='ImageNet', data_prefix='data/imagenet/train',
                                ann_file='data/imagenet/meta/train.txt')))
custom_hooks = [
    dict(type='DeepClusterHook',
         extractor=dict(imgs_per_gpu=96, workers_per_gpu=3, persistent_workers=False,
                        dataset=dict(type='DeepClusterDataset', pipeline=extract_pipeline,
                                     data_source=dict(type='ImageNet', data_prefix='x'))),
         clustering=dict(type='Kmeans', k=4000, pca_dim=-1), unif_sampling=False, reweight=False,
         reweight_pow=0.5, init_memory=True, initial=True, interval=9999999999, dist_mode=True),
    dict(type='ODCHook', centroids_update_interval=20, deal_with_small_clusters_interval=1,
         evaluate_interval=70, reweight=True, reweight_pow=0.6, dist_mode=True),
]
optimizer = dict(type='SGD', lr=0.03, weight_decay=1e-5, momentum=0.9,
                 paramwise_options={'\\\\Ahead.': dict(momentum=0.)})
optimizer_config = dict(use_fp16=False)
lr_config = dict(policy='step', step=[300], gamma=0.4)
runner = dict(type='EpochBasedRunner', max_epochs=330)
checkpoint_config = dict(interval=5, max_keep_ckpts=2)
log_config = dict(interval=30, hooks=[dict(type='TextLoggerHook')])
dist_params = dict(backend='nccl')
cudnn_benchmark = True
"""
NEW = """
data_root = 'data/imagenet/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', size=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.4, direction='horizontal'),
    dict(type='RandomRotation', degrees=2),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='PackSelfSupInputs', pseudo_label_keys=['clustering_label'])]
extract_pipeline = [
    dict(type='mmcls.LoadImageFromFile'),
    dict(type='mmcls.ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224), dict(type='PackSelfSupInputs')]
dataset_type = 'DeepClusterImageNet'
train_dataloader = dict(
    batch_size=64, num_workers=4, persistent_workers=True,
    sampler=dict(type='DeepClusterSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='meta/train.txt',
                 data_prefix=dict(img_path='train/'), pipeline=train_pipeline))
model = dict(
    type='DeepCluster',
    data_preprocessor=dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375),
                           bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=50, in_channels=3, out_indices=[4],
                  norm_cfg=dict(type='BN')),
    neck=dict(type='AvgPool2dNeck'),
    head=dict(type='ClsHead', loss=dict(type='mmcls.CrossEntropyLoss'), with_avg_pool=False,
              in_channels=2048, num_classes=10000))
custom_hooks = [dict(
    type='DeepClusterHook',
    extract_dataloader=dict(
        batch_size=128, num_workers=8, persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False, round_up=True),
        dataset=dict(type=dataset_type, data_root=data_root, pipeline=extract_pipeline)),
    clustering=dict(type='Kmeans', k=10000, pca_dim=128), unif_sampling=True, reweight=False,
    reweight_pow=0.5, initial=True, interval=2, seed=0)]
optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-5)
optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer,
                     paramwise_cfg=dict(custom_keys={'head': dict(momentum=0.)}))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[400], gamma=0.4)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=150)
default_scope = 'mmselfsup'
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'), timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=25),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=20, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='mmcls.VisualizationHook', enable=False))
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork'))
log_level = 'INFO'
load_from = None
resume = False
auto_scale_lr = dict(base_batch_size=512, enable=False)
"""


@pytest.fixture
def old(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "odc.py").write_text(OLD)
    return tmp_path / "odc.py"


def write(path, text):
    path.write_text(text)
    return path


def assert_builds(cfg):
    """The text of it is a config that is understood, and pipelines and model can be built."""
    again = Config.fromstring(cfg.pretty_text, ".py")
    check_config(again)
    build_pipeline(again.train_pipeline)
    build_pipeline(again.eval_pipeline)
    with torch.device("meta"):
        ALGORITHMS.build({**again.model.to_dict(), "num_samples": 400_000})


class TestVersion0:
    def test_odc(self, old):
        cfg, left, variables, start = convert_mmselfsup(old)
        assert start == "odc_r50_released"
        model = cfg.model
        assert model.num_clusters == 4000 and "num_samples" not in model
        assert model.backbone == {"type": "ResNet", "depth": 18, "in_channels": 3}
        assert cfg.sync_bn == "torch"
        assert (model.neck.hidden_channels, model.neck.out_channels) == (128, 64)
        memory = model.memory
        assert (memory.momentum, memory.min_cluster_size) == (0.4, 15)
        assert memory.centroids_update_interval == 20 and memory.assign_metric == "dot"
        assert not model.copy_reused_rows and model.loss.power == 0.6
        assert cfg.default_hooks.cluster_metrics.interval == 70
        assert cfg.train_cfg.max_epochs == 330
        assert cfg.param_scheduler == [{"type": "MultiStepLR", "milestones": [300], "gamma": 0.4}]
        assert cfg.optim_wrapper.optimizer == {
            "type": "SGD",
            "lr": 0.03,
            "weight_decay": 1e-5,
            "momentum": 0.9,
        }
        assert cfg.optim_wrapper.paramwise_cfg == {"custom_keys": {"head": {"momentum": 0.0}}}
        assert cfg.default_hooks.checkpoint.interval == 5
        assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2
        assert cfg.default_hooks.logger.interval == 30
        assert cfg.dataset == {
            "type": "ImageList",
            "list_file": "data/imagenet/meta/train.txt",
            "root": "data/imagenet/train",
            "labels": True,
        }
        assert cfg.train_dataloader.batch_size == 32 and cfg.train_dataloader.num_workers == 6
        assert cfg.eval_dataloader.batch_size == 96 and cfg.eval_dataloader.num_workers == 3
        assert cfg.data_preprocessor["mean"] == pytest.approx([123.675, 116.28, 103.53])
        assert cfg.data_preprocessor["std"] == pytest.approx([58.395, 57.12, 57.375])
        assert [step["type"] for step in cfg.train_pipeline] == [
            "RGB",
            "RandomResizedCrop",
            "RandomHorizontalFlip",
            "RandomRotation",
            "RandomApply",
            "RandomGrayscale",
            "PILToTensor",
        ]
        assert cfg.train_pipeline[1] == {
            "type": "RandomResizedCrop",
            "size": 224,
            "scale": (0.2, 1.0),
        }
        assert cfg.train_pipeline[4]["p"] == 0.8
        assert cfg.eval_pipeline[1:3] == [
            {"type": "Resize", "size": 256},
            {"type": "CenterCrop", "size": 224},
        ]
        assert_builds(cfg)
        # every key that is not in it, and no other
        assert set(left) == {
            "custom_hooks.0.dist_mode",
            "custom_hooks.1.dist_mode",
            "data.drop_last",
            "data.train.pipeline.5.sigma_max",
            "data.train.pipeline.5.sigma_min",
            "data.train.pipeline.5.type",
            "data.train.prefetch",
            "model.memory_bank.debug",
            "optimizer_config.use_fp16",
        }
        assert left["data.train.pipeline.5.type"] == "'GaussianBlur'"
        assert variables == ["extract_pipeline", "img_norm_cfg", "num_classes", "train_pipeline"]

    def test_the_tool_prints_a_config_that_names_what_is_left(self, old, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", [str(TOOL), str(old)])
        runpy.run_path(str(TOOL), run_name="__main__")
        printed = capsys.readouterr()
        cfg = Config.fromstring(printed.out, ".py")
        assert cfg.model.num_clusters == 4000
        for text in (printed.out, printed.err):
            assert "optimizer_config.use_fp16: False" in text


class TestVersion1:
    def test_deepcluster(self, tmp_path):
        cfg, left, _, start = convert_mmselfsup(write(tmp_path / "dc.py", NEW))
        assert start == "deepcluster_r50" and cfg.model.type == "DeepCluster"
        assert cfg.model.num_clusters == 10_000
        assert cfg.model.backbone == {"type": "ResNet", "depth": 50, "in_channels": 3}
        assert cfg.get("sync_bn") is None and cfg.model.neck == {"type": "AveragePoolNeck"}
        assert cfg.model.feature_transform == {"type": "PCAWhitening", "dim": 128}
        assert cfg.model.loss.power == 0.0
        assert cfg.default_hooks.clustering.interval == 2
        assert cfg.train_dataloader.sampler == {"type": "UniformClusterSampler"}
        assert cfg.train_dataloader.batch_size == 64 and cfg.train_dataloader.num_workers == 4
        assert cfg.eval_dataloader.batch_size == 128
        assert cfg.dataset["list_file"] == "data/imagenet/meta/train.txt"
        assert cfg.dataset["root"] == "data/imagenet/train"
        assert cfg.train_pipeline[2] == {"type": "RandomHorizontalFlip", "p": 0.4}
        assert cfg.eval_pipeline[1] == {"type": "Resize", "size": 256}
        assert cfg.train_cfg.max_epochs == 150 and cfg.optim_wrapper.optimizer.lr == 0.1
        assert cfg.param_scheduler[0]["milestones"] == [400]
        assert cfg.default_hooks.logger.interval == 25
        assert cfg.env_cfg.cudnn_benchmark is False
        assert cfg.default_scope == "mmdeepcluster"
        assert_builds(cfg)
        assert set(left) == {
            "custom_hooks.0.seed",
            "default_hooks.visualization.enable",
            "default_hooks.visualization.type",
            "env_cfg.mp_cfg",
            "train_dataloader.collate_fn",
            "train_dataloader.dataset.pipeline.1.backend",
            "train_dataloader.dataset.pipeline.5.keep_channels",
            "train_dataloader.sampler",
        }

    def test_sobel(self, tmp_path):
        text = NEW.replace("type='DeepCluster',\n", "type='DeepCluster', with_sobel=True,\n", 1)
        text = text.replace("in_channels=3", "in_channels=2")
        cfg = convert_mmselfsup(write(tmp_path / "dc.py", text)).cfg
        assert cfg.model.backbone.sobel and cfg.model.backbone.in_channels == 3
        assert_builds(cfg)


class TestRefusals:
    @pytest.mark.parametrize(
        ("old_text", "new_text", "reason"),
        [
            ("k=4000", "k=3000", r"clustering.k=3000, but model.head.num_classes=4000"),
            ("type='ResNet'", "type='ResNeXt'", "only ResNet can be converted"),
            ("type='ODCNeck'", "type='MoCoV2Neck'", "only ODCNeck and AvgPool2dNeck"),
            ("type='ODC'", "type='SimCLR'", "only ODC and DeepCluster can be converted"),
        ],
    )
    def test_what_cannot_be_mapped(self, old, old_text, new_text, reason):
        for name in ("model.py", "odc.py"):
            path = old.parent / name
            path.write_text(path.read_text().replace(f"{old_text},", f"{new_text},", 1))
        with pytest.raises(ConfigError, match=reason):
            convert_mmselfsup(old)

    def test_missing_base(self, old):
        (old.parent / "model.py").unlink()
        with pytest.raises(ConfigError, match="its _base_ files must be there"):
            convert_mmselfsup(old)
