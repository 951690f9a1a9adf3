"""ODC as a fine-tuning scheme: ResNet-50 on ImageNet from weights of another method, 120 epochs.

Any file that holds a ResNet-50 does: torchvision, timm, OpenSelfSup and mmselfsup, MoCo, SwAV,
DINO, DeepCluster; the log says what of it was taken. Weights behind a Sobel filter need
model.backbone.sobel=True. Of the schedule the paper gives the 120 epochs; the drop of the rate
comes after the same share of them as in the training from scratch.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645,
       section 3.3.
Command: tools/dist_train.sh configs/odc/finetune/odc_r50_120e.py 8 --cfg-options load_from=FILE
         With another number of processes add --auto-scale-lr, so that the rate fits the batch;
         one process: python tools/train.py configs/odc/finetune/odc_r50_120e.py --auto-scale-lr \\
             --cfg-options load_from=FILE
Expected: not trained here. The paper's, mAP of SVMs on VOC07: Colorization 55.6 -> 72.3, Jigsaw
          64.5 -> 74.4, Rotation 67.4 -> 74.5, DeepCluster 69.1 -> 77.0.
"""

_base_ = "../odc_r50.py"

load_from = "checkpoints/start.pth"
train_cfg = dict(max_epochs=120)
param_scheduler = [dict(type="MultiStepLR", milestones=[109], gamma=0.1)]
