"""Everything that needs classes, on CIFAR-10.

Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/cifar10.py
         (--benchmark-options train.root=... test.root=... say where the images are)
"""

_base_ = "imagenette.py"

data = "cifar10"
train = dict(_delete_=True, type="CIFAR10", root="data", split="train")
test = dict(_delete_=True, type="CIFAR10", root="data", split="test")
eval_dataloader = dict(batch_size=500, num_workers=0)
