"""Everything that needs classes, on 1,500 + 500 images of Imagenette: for development.

Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/imagenette.py
         (--benchmark-options train.root=... test.root=... say where the images are)
"""

data = "imagenette"
train = dict(type="ImageFolder", root="data/imagenette224/train", labels="folder")
test = dict(type="ImageFolder", root="data/imagenette224/val", labels="folder")
eval_dataloader = dict(batch_size=128, num_workers=2)
protocols = [
    "linear-odc",
    "gap-openmmlab",
    "gap-swav",
    "knn",
    "clustering",
    "retrieval",
    "label-free",
    "semi-1",
    "semi-10",
]
finetune = dict(batch_size=32)
