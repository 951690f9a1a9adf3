"""DeeperCluster with VGG-16 on 96 million photographs, the recipe of the paper: 64 GPUs.

Each of the 16 super-classes (4 rotations x 4 super-clusters) has a classifier of 80,000 x 4096,
which 4 of the processes hold; any other multiple of 16 does. docs/scaling.md says what memory, time
and traffic to expect.

Paper: Unsupervised Pre-Training of Image Features on Non-Curated Data, arXiv 1905.01278.
Command: on each of 8 machines, NODE_RANK from 0 to 7:
         NNODES=8 NODE_RANK=0 MASTER_ADDR=host0 \\
             tools/dist_train.sh configs/deepercluster/deepercluster_vgg16_yfcc100m.py 8
         or GPUS=64 tools/slurm_train.sh PARTITION JOB CONFIG
Expected: not trained here. The paper's, fine-tuned on VOC07: mAP of classification 84.3, of
          detection 67.8; ImageNet fine-tuned from its weights 74.9.
"""

_base_ = [
    "../_base_/models/deepercluster_vgg16.py",
    "../_base_/datasets/yfcc100m.py",
    "../_base_/schedules/sgd_deepercluster.py",
    "../_base_/deepercluster_runtime.py",
]

model = dict(num_clusters=320_000, num_super_clusters=4, grouped=True)
train_dataloader = dict(batch_size=48)
# Batches of one process are of one rotation and one super-cluster: their statistics alone would
# give these away.
sync_bn = "torch"
auto_scale_lr = dict(base_batch_size=3072)
