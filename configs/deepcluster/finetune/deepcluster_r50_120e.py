"""DeepCluster as a fine-tuning scheme, with which ODC compares itself: ResNet-50, 120 epochs.

Any file that holds a ResNet-50 does; see configs/odc/finetune/odc_r50_120e.py.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520; fine-tuning
       in Online Deep Clustering, arXiv 2006.10645, section 3.3.
Command: tools/dist_train.sh configs/deepcluster/finetune/deepcluster_r50_120e.py 8 \\
             --cfg-options load_from=FILE
         With another number of processes add --auto-scale-lr, so that the rate fits the batch.
Expected: not trained here. The ODC paper's, mAP of SVMs on VOC07: Colorization 55.6 -> 61.2, Jigsaw
          64.5 -> 68.5, Rotation 67.4 -> 68.6, DeepCluster 69.1 -> 70.0.
"""

_base_ = "../deepcluster_r50.py"

load_from = "checkpoints/start.pth"
train_cfg = dict(max_epochs=120)
