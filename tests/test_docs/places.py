"""What the placeholders of the documents stand for when tests run their commands.

The commands run in a folder of their own, which looks like a checkout: ``tools``, ``configs`` and
``benchmarks`` are links. What they name and nobody made is made when it is named.
"""

import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from commands import ROOT
from PIL import Image

# Words of the documents, in the order in which they are replaced. ResNet-50 and the benchmarks of
# large sets become small ones; what is measured is whether the command works.
STAND_FOR = (
    (r"--previous FILE\b", "--previous clusters/clusters.csv"),
    (r"\bload_from=FILE\b", "load_from=work_dirs/stand_in/epoch_1.pth"),
    (r"(mmselfsup_config\.py) FILE\b", r"\1 theirs.py"),
    (r"\bdataset\.list_file=FILE\b", "dataset.list_file=my_photos/list.txt"),
    (r"\bCONFIG\b", "stand_in.py"),
    (r"\bCHECKPOINT\b", "work_dirs/stand_in/epoch_1.pth"),
    (r"\bCKPT\b", "work_dirs/stand_in/epoch_1.pth"),
    (r"--work-dir D\b", "--work-dir work_dirs/d"),
    (r"\bDIR\b", "results"),
    (r"\bFILE\.csv\b", "new.csv"),
    (r"\bNEW_IMAGES\b", "new_photos"),
    (r"\bFOLDER_OR_LIST\b", "my_photos"),
    (r"\bFOLDER\b", "photos/train"),
    (r"\bWORK_DIR\b", "work_dirs/stand_in"),
    (r"\bIMAGE\b", "my_photos/000.jpg"),
    (r"\bIMAGENETTE\b", "photos"),
    (r"\bVOC_ANIMALS\b", "voc"),
    (r"--layer NAME\b", "--layer backbone"),
    (r"--batch-size B\b", "--batch-size 8"),
    (r"configs/benchmarks/\w+\.py( configs/benchmarks/\w+\.py)*", "benchmark.py"),
    (r"--benchmark-options .*", ""),
    (r"\bOUT --format\b", "published/model.pth --format"),
    (r"--format FORMAT\b", "--format mmdeepcluster"),
    (r"\bPROCESSES\b", "2"),
    (r"(tools/dist_extract\.sh \S+ \S+) 8\b", r"\1 2"),
    (r"\ba\.jpg b\.jpg c\.jpg\b", "my_photos/000.jpg my_photos/001.jpg my_photos/002.jpg"),
    (r"\b(torchvision/resnet)50\b", r"\g<1>18"),
    (r"(?<==)a\.b=1\b", "log_level=INFO"),
    (r"\ba\.b=1\b", "log_level=INFO"),
    (r"--seeds 1-\d+", "--seeds 1-2"),
    # Trainings are cut to an epoch, of which one time is logged.
    (r"(cal_train_time \S+)$", r"\1 --include-outliers"),
)
# Words in capitals that are no placeholders.
CAPITALS = {"CIFAR", "JOB_NAME", "ODC", "PARTITION"}

CONFIG = """_base_ = "configs/odc/finetune/odc_convnet_photos_30e.py"

model = dict(backbone=dict(_delete_=True, type="ResNet", depth=18))
train_cfg = dict(max_epochs=1)
train_dataloader = dict(num_workers=0)
eval_dataloader = dict(num_workers=0)
default_hooks = dict(clustering=dict(calibration_passes=0, label_warmup=0))
"""
BENCHMARK = """data = "some photos"
train = dict(type="ImageFolder", root="photos/few", labels="folder")
test = dict(type="ImageFolder", root="photos/val", labels="folder")
eval_dataloader = dict(batch_size=64, num_workers=0)
protocols = ["knn", "clustering", "label-free"]
knn_k = (20,)
"""
THEIRS = """
model = dict(
    type='ODC',
    backbone=dict(type='ResNet', depth=50, in_channels=3, out_indices=[4],
                  norm_cfg=dict(type='SyncBN')),
    neck=dict(type='ODCNeck', in_channels=2048, hid_channels=512, out_channels=256,
              with_avg_pool=True),
    head=dict(type='ClsHead', with_avg_pool=False, in_channels=256, num_classes=10000),
    memory_bank=dict(type='ODCMemory', length=1281167, feat_dim=256, momentum=0.5,
                     num_classes=10000, min_cluster=20, debug=False))
data = dict(
    samples_per_gpu=64, workers_per_gpu=4,
    train=dict(type='DeepClusterDataset',
               pipeline=[dict(type='RandomResizedCrop', size=224), dict(type='ToTensor')],
               data_source=dict(type='ImageNet', data_prefix='data/imagenet/train',
                                ann_file='data/imagenet/meta/train.txt')))
optimizer = dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=0.00001)
lr_config = dict(policy='step', step=[400], gamma=0.4)
runner = dict(type='EpochBasedRunner', max_epochs=440)
"""


def stand_in(text):
    """A command with its placeholders replaced.

    Raises:
        AssertionError: If a word in capitals is left that nobody knows.
    """
    for pattern, meaning in STAND_FOR:
        text = re.sub(pattern, meaning, text)
    for word in re.findall(r"(?<![\w./=$-])[A-Z][A-Z_]{2,}(?![\w=])", text):
        assert word in CAPITALS, f"{word} in {text!r}: add it to STAND_FOR, or mark the command"
    return text


def write_photos(folder, number, classes=1, seed=0):
    """Small pictures of a few shapes and colours, in a folder for each class if there are some."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        kind = index % max(classes, 4)
        pixels = rng.integers(0, 60, (72, 72, 3))
        row, column = rng.integers(4, 40, 2)
        height, width = (30, 10) if kind % 2 else (10, 30)
        pixels[row : row + height, column : column + width, kind % 3] = 230
        place = folder / f"class_{kind % classes}" if classes > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index:03d}.jpg")
    return folder


def make_checkout(folder):
    """A folder in which the commands of the documents can be typed."""
    for name in ("tools", "configs", "benchmarks", "docs", "mmdeepcluster", "setup.py"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "stand_in.py").write_text(CONFIG)
    (folder / "benchmark.py").write_text(BENCHMARK)
    (folder / "theirs.py").write_text(THEIRS)
    (folder / "data").mkdir()
    sets = os.environ.get("MMDEEPCLUSTER_DATA")
    for place in Path(sets).iterdir() if sets else ():
        (folder / "data" / place.name).symlink_to(place)
    photos = write_photos(folder / "my_photos", 40)
    (photos / "list.txt").write_text("".join(f"{p.name}\n" for p in sorted(photos.glob("*.jpg"))))
    (folder / "list.txt").write_text("".join(f"my_photos/{i:03d}.jpg\n" for i in range(40)))
    (folder / "data" / "photos").symlink_to(photos)
    write_photos(folder / "new_photos", 12, seed=1)
    write_photos(folder / "photos" / "train", 120, classes=4, seed=2)
    write_photos(folder / "photos" / "few", 24, classes=4, seed=4)
    write_photos(folder / "photos" / "val", 16, classes=4, seed=3)
    return folder


def provide(folder, found, run):
    """Makes what a command names and nobody made yet.

    Args:
        folder: The checkout.
        found: Words of the command.
        run: Runs a command there.
    """
    for before, word in itertools.pairwise(found):
        path = word.rpartition("=")[2]
        if (folder / path).exists() or before in ("--work-dir", "--out"):  # what it writes
            continue
        if path.startswith("work_dirs/") and "*" not in path:
            _provide_work_dir(folder, path, run)
        elif path in ("supervised.pth", "moco.pth"):
            from torchvision.models import resnet18

            torch.save(resnet18().state_dict(), folder / path)
        elif path.startswith("clusters/"):
            run("python tools/export_clusters.py CONFIG CHECKPOINT --out clusters")
        elif path.startswith("results/") and path.endswith("cluster_model.pth"):
            run("python tools/export_clusters.py CONFIG CHECKPOINT --out results")
        elif path.endswith("/card.json") and "*" not in path:
            out = path.removesuffix("/card.json")
            run(f"python tools/evaluate_card.py CONFIG CHECKPOINT -b benchmark.py --out {out}")
        elif path == "work_dirs/*/card/card.json" and not list(folder.glob(path)):
            run("python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/x.py")


def _provide_work_dir(folder, path, run):
    """A training that the documents speak of: what another one left, under its name."""
    trained = folder / "work_dirs" / "stand_in"
    if not (trained / "last_checkpoint").exists():
        run("python tools/train.py stand_in.py --work-dir work_dirs/stand_in")
    place = folder / "work_dirs" / Path(path).parts[1]
    if not place.exists():
        config = "configs/odc/finetune/odc_convnet_photos_30e.py"
        if place.name in ("rotnet",):  # a network as that config has it
            run(f"python tools/train.py {config} --work-dir {place.relative_to(folder)}")
        else:
            shutil.copytree(trained, place)
    missing = folder / path
    if re.fullmatch(r"epoch_\d+\.pth", missing.name) and not missing.exists():
        shutil.copy(max(place.glob("epoch_*.pth")), missing)
