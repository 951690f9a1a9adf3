"""What each stage is, in words: text, equation, where it stands in the paper and in the package.

Equations are HTML; everything else is plain text, in which ``{names}`` are filled in.
"""

from __future__ import annotations

from typing import NamedTuple

_DC = "Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520"
_DEEPER = "Caron et al., Unsupervised Pre-Training on Non-Curated Data, arXiv 1905.01278"
_ODC = "Zhan et al., Online Deep Clustering, arXiv 2006.10645"
PAPERS = {"DeepCluster": _DC, "DeeperCluster": _DEEPER, "ODC": _ODC}


class StageText(NamedTuple):
    """Words of a stage.

    Attributes:
        title: Heading.
        text: Two or three sentences.
        equation: HTML, empty where there is none.
        source: Where the paper says so.
        module: Where this package does so.
    """

    title: str
    text: str
    equation: str
    source: str
    module: str


ORIGINAL = StageText(
    "The images",
    "These are the images that are followed through every stage. They are clustered together with "
    "{others} images of the data set, so everything below is computed and nothing is drawn from "
    "memory.",
    "<var>x</var><sub>1</sub>, &hellip;, <var>x</var><sub><var>N</var></sub>, "
    "<var>N</var> = {num_images}",
    "",
    "mmdeepcluster.datasets",
)

AUGMENT = StageText(
    "What training sees: augmentation",
    "Each time an image is drawn it is changed at random, so that the network cannot hold on to "
    "position, size or colour. Below is one draw step by step, and other draws of the same image. "
    "Its label stays the same for all of them. {executed}",
    "<var>x&#771;</var> = <var>a</var>(<var>x</var>; <var>s</var>), &nbsp; a new seed "
    "<var>s</var> at each draw",
    "",
    "mmdeepcluster.datasets.ImageView, config key train_pipeline",
)

EVALUATE = StageText(
    "What clustering sees: the evaluation pipeline",
    "Features that are clustered come from a pipeline without chance: the same image always gives "
    "the same feature. Then each channel is normalised by the mean {mean} and the deviation {std}.",
    "<var>x</var> &larr; (<var>x</var> &minus; <var>&mu;</var>) / <var>&sigma;</var>",
    "",
    "mmdeepcluster.models.ImagePreprocessor, config key eval_pipeline",
)

SOBEL = StageText(
    "Grey value and Sobel filter",
    "Clusters of colours are easy to find and teach little, so colours are taken away: the network "
    "sees two gradients of the grey value instead of three colours. It is a fixed first layer "
    "and not a part of the pipelines.",
    "<var>g</var> = &#8531;(<var>R</var> + <var>G</var> + <var>B</var>), &nbsp; "
    "<var>S</var><sub>h</sub> = <var>k</var><sub>h</sub> &lowast; <var>g</var>, &nbsp; "
    "<var>S</var><sub>v</sub> = <var>k</var><sub>v</sub> &lowast; <var>g</var>",
    f"{_DC}, section 3, 'Implementation details'",
    "mmdeepcluster.models.backbones.layers.Sobel",
)

TURNS = StageText(
    "Quarter turns",
    "In training each image is turned by 0, 90, 180 or 270 degrees, each equally often in a batch, "
    "and the head has to say what the turn was. The features that are clustered are those of the "
    "upright image.",
    "<var>S</var> = 4 <var>m</var> super-classes: &nbsp; <var>y</var> = turn &middot; <var>m</var> "
    "+ super-cluster",
    f"{_DEEPER}, section 3",
    "mmdeepcluster.models.algorithms.rotation",
)

NETWORK = StageText(
    "The network, and where features are taken",
    "{backbone} with {parameters} parameters, {origin}. Blocks are as high as the logarithm of the "
    "map and as wide as that of the number of channels. The feature is taken at the marked layer; "
    "{tap_note} Below are the maps of the channels that vary most over the image.",
    "<var>f</var> = <var>f</var><sub><var>&theta;</var></sub>(<var>x</var>) &isin; "
    "&#8477;<sup><var>D</var></sup>, <var>D</var> = {dim}",
    "{paper}, section 3",
    "mmdeepcluster.models.backbones.{backbone}, mmdeepcluster.models.necks.{neck}",
)

FEATURES = StageText(
    "The feature matrix",
    "One row for each of the {num_images} images, in evaluation mode: above the own row as a "
    "strip, below all rows as a heat map (blue is negative, red positive; of larger matrices every "
    "n-th row and column). A few directions hold most of the variance: the spectrum is steep.",
    "<var>F</var> &isin; &#8477;<sup><var>N</var>&times;<var>D</var></sup>, &nbsp; "
    "<var>C</var> = <sup>1</sup>&frasl;<sub><var>N</var></sub> "
    "(<var>F</var> &minus; <var>&mu;</var>)<sup>T</sup>(<var>F</var> &minus; "
    "<var>&mu;</var>)",
    "{paper}, section 3",
    "mmdeepcluster.models.extract",
)

WHITEN = StageText(
    "PCA and whitening, then unit length",
    "The {dim} dimensions become the {kept} of largest variance, each scaled to variance 1, so "
    "that no direction outweighs the others: the spectrum becomes flat. Then every row is scaled "
    "to length 1, so that k-means compares directions alone.",
    "<var>z</var> = <var>&Lambda;</var><sup>&minus;1/2</sup> <var>V</var><sup>T</sup> "
    "(<var>f</var> &minus; <var>&mu;</var>), &nbsp; <var>z</var> &larr; <var>z</var> / "
    "&#8214;<var>z</var>&#8214;",
    f"{_DC}, section 3, 'Implementation details'",
    "mmdeepcluster.clustering.PCAWhitening",
)

UNIT = StageText(
    "Unit length",
    "Every row is scaled to length 1, so that k-means compares directions alone. {why}",
    "<var>z</var> = <var>f</var> / &#8214;<var>f</var>&#8214;",
    "{paper}, section 3",
    "mmdeepcluster.clustering.l2_normalize",
)

KMEANS = StageText(
    "k-means",
    "{num_clusters} centroids are moved until no image changes its cluster, or {max_iters} "
    "iterations are over. The objective falls with each iteration. {k_note}{levels}",
    "min<sub><var>C</var></sub> <sup>1</sup>&frasl;<sub><var>N</var></sub> &Sigma;<sub>"
    "<var>n</var></sub> min<sub><var>k</var></sub> &#8214;<var>z</var><sub><var>n</var></sub> "
    "&minus; <var>c</var><sub><var>k</var></sub>&#8214;<sup>2</sup>",
    "{kmeans_source}",
    "mmdeepcluster.clustering.{clusterer}",
)

PSEUDO = StageText(
    "Pseudo-labels",
    "The number of the nearest centroid is the label that the image will have in training. The "
    "nearest other images show what the network finds alike at this moment{untrained}.",
    "<var>y</var><sub><var>n</var></sub> = argmin<sub><var>k</var></sub> "
    "&#8214;<var>z</var><sub><var>n</var></sub> &minus; <var>c</var><sub><var>k</var></sub>"
    "&#8214;",
    "{kmeans_source}",
    "mmdeepcluster.models.LabelBank",
)

UNIFORM = StageText(
    "Uniform sampling",
    "With plain draws a network could win by always predicting the largest cluster. So every "
    "cluster is drawn equally often: images of small clusters several times an epoch, those of "
    "large ones not always. The bars are one real epoch: {most} draws of the image drawn most "
    "often, {missed} images not drawn.",
    "&lfloor;<var>N</var> / <var>K</var>&rfloor; + 1 draws from each of <var>K</var> clusters, the "
    "first <var>N</var> of them after a shuffle",
    f"{_DC}, section 3, 'Avoiding trivial solutions'",
    "mmdeepcluster.datasets.UniformClusterSampler",
)

REWEIGHT = StageText(
    "Sampling and loss re-weighting",
    "Each image is drawn once an epoch, so clusters are drawn as often as they are large. Instead "
    "of the draws the loss is balanced: the weight of an image falls with the size of its cluster, "
    "and losses are divided by the sum of the weights, so that equal clusters give the plain "
    "cross-entropy.",
    "<var>w</var><sub><var>c</var></sub> &prop; <var>N</var><sub><var>c</var></sub><sup>&minus;"
    "{power}</sup>, &nbsp; <var>L</var> = &Sigma; <var>w</var><sub><var>y</var><sub><var>n</var>"
    "</sub></sub> <var>&#8467;</var><sub><var>n</var></sub> / &Sigma; <var>w</var><sub><var>y</var>"
    "<sub><var>n</var></sub></sub>",
    f"{_ODC}, section 3.2, 'Loss Re-weighting'",
    "mmdeepcluster.models.ClassBalancedCrossEntropy, mmdeepcluster.datasets.OwnerSampler",
)

PLAIN = StageText(
    "Sampling",
    "Each image is drawn once an epoch, so clusters are drawn as often as they are large.",
    "",
    "",
    "mmdeepcluster.datasets.{sampler}",
)

STEP = StageText(
    "One training step",
    "A batch of {batch} images, the own ones first, goes through the network in training mode. The "
    "head gives a probability to each cluster, which starts near chance. Then follows one real "
    "step of {optimizer} (rate {rate}, of the head {head_rate}, before any schedule). The "
    "probabilities before and after it are of the same draws and the same dropout. {overshot}",
    "{loss_equation}",
    "{step_source}",
    "mmdeepcluster.models.{method}.loss, mmdeepcluster.models.{head}",
)

MEMORY = StageText(
    "The memory moves",
    "After the step the features of that very forward pass go into the memory: the row of the "
    "image moves towards its new feature, and takes the label of the centroid that is nearest now. "
    "The loss above has used the old label. {warmup}",
    "<var>F</var> &larr; <var>m</var> <var>f</var>/&#8214;<var>f</var>&#8214; + (1 &minus; "
    "<var>m</var>) <var>F</var>, <var>m</var> = {momentum}{renormalized}; &nbsp; <var>y</var> "
    "&larr; argmin<sub><var>k</var></sub> &#8214;<var>F</var> &minus; <var>C</var><sub>"
    "<var>k</var></sub>&#8214;",
    f"{_ODC}, section 3.1, equations 2 and 3",
    "mmdeepcluster.models.ODCMemory.update",
)

NEXT_CYCLE = StageText(
    "The next cycle",
    "After {steps} steps all features are extracted again and clustered anew. New clusters have "
    "new numbers: here each got the number of the old one that it shares most images with. "
    "{changed} of {num_images} images changed their cluster. Training on the new labels goes on "
    "{head_note}.",
    "NMI(<var>t</var>&minus;1, <var>t</var>) = 2 <var>I</var>(<var>y</var><sup>old</sup>; "
    "<var>y</var><sup>new</sup>) / (<var>H</var>(<var>y</var><sup>old</sup>) + "
    "<var>H</var>(<var>y</var><sup>new</sup>)) = {nmi}",
    "{paper}, section 3; the NMI of consecutive clusterings is figure 2 b of arXiv 1807.05520",
    "mmdeepcluster.engine.hooks.EpochClusteringHook, {algorithm}.recluster",
)

ONLINE = StageText(
    "Clusters that follow",
    "There is no second clustering. After {steps} steps labels have followed the network image by "
    "image, centroids were refreshed every {interval} iterations, and clusters below {smallest} "
    "images were dissolved and refilled from the largest one ({refills} times). {changed} of "
    "{num_images} images have another label than at the start.",
    "<var>C</var><sub><var>k</var></sub> = mean of <var>F</var> over the members of <var>k</var>; "
    "&nbsp; NMI of the labels at the start and now = {nmi}",
    f"{_ODC}, sections 3.1 and 3.2, 'Dealing with Small Clusters'",
    "mmdeepcluster.engine.hooks.OnlineClusteringHook, mmdeepcluster.models.ODCMemory",
)

CROSS_ENTROPY = (
    "<var>L</var> = &minus;<sup>1</sup>&frasl;<sub><var>B</var></sub> &Sigma;<sub><var>n</var>"
    "</sub> ln softmax(<var>W</var> <var>f</var><sub><var>n</var></sub>)<sub><var>y</var>"
    "<sub><var>n</var></sub></sub>, &nbsp; a guess has ln <var>K</var> = {chance}"
)
WEIGHTED = (
    "<var>L</var> = &minus;&Sigma;<sub><var>n</var></sub> <var>w</var><sub><var>n</var></sub> ln "
    "softmax(<var>W</var> <var>f</var><sub><var>n</var></sub>)<sub><var>y</var><sub><var>n</var>"
    "</sub></sub> / &Sigma; <var>w</var><sub><var>n</var></sub>, &nbsp; a guess has ln "
    "<var>K</var> = {chance}"
)
TWO_LEVELS = (
    "<var>L</var> = <sup>1</sup>&frasl;<sub><var>B</var></sub> &Sigma;<sub><var>n</var></sub> "
    "[ <var>&#8467;</var>(<var>V f</var><sub><var>n</var></sub>, <var>y</var><sub><var>n</var>"
    "</sub>) + <var>&#8467;</var>(<var>W</var><sub><var>y</var><sub><var>n</var></sub></sub> "
    "<var>f</var><sub><var>n</var></sub>, <var>z</var><sub><var>n</var></sub>) ], &nbsp; a guess "
    "has {chance}"
)
