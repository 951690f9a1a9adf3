"""The protocols of VOC07 on 900 images of VOC2012 with animals, in two halves: for development.

Not VOC07: 13 classes that at least 20 images show, halves A (to learn from) and B (to test on), and
k up to 8. Objects marked difficult carry no label there.
Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/voc2012_animals.py
         (--benchmark-options voc.root=... says where the images are)
"""

data = "voc2012-animals"
voc = dict(root="data/voc2012_animals", train_split="A", test_split="B", min_images=20)
shots = (1, 2, 4, 8)
eval_dataloader = dict(batch_size=128, num_workers=2)
protocols = ["voc-svm", "voc-low-shot"]
