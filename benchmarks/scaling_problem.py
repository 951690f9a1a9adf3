"""What the scaling model takes: the size of a job, and the speeds and sizes that were fitted."""

from __future__ import annotations

from dataclasses import dataclass

FP32, FP64, INT32, INT64, BF16 = 4, 8, 4, 8, 2
ROTATIONS = 4


@dataclass(frozen=True)
class Problem:
    """One cycle of DeeperCluster: extraction, clustering in two levels, T epochs of training.

    Attributes:
        num_samples: N.
        num_clusters: K.
        dim: D, width of the rows that are clustered.
        world_size: W.
        feature_dim: F, width of the features of the network, of which PCA makes D.
        num_super_clusters: m, which divides K. Super-clusters are taken as equally large.
        max_iters: Most iterations of either level, each of which makes one more pass.
        epochs: T.
        batch_size: Images of a training step of one process.
        backbone_params: Parameters of the backbone.
        grouped: Whether a process holds one sub-head, shared by W / (4 m) processes, and not all.

    Raises:
        ValueError: If m does not divide K, N is less than K, or W cannot be grouped.
    """

    num_samples: int
    num_clusters: int
    dim: int
    world_size: int = 1
    feature_dim: int = 4096
    num_super_clusters: int = 4
    max_iters: int = 10
    epochs: int = 3
    batch_size: int = 48
    backbone_params: int = 0
    grouped: bool = False

    def __post_init__(self) -> None:
        if self.num_clusters % self.num_super_clusters:
            raise ValueError(
                f"num_clusters ({self.num_clusters}) must be a multiple of num_super_clusters "
                f"({self.num_super_clusters})"
            )
        if self.num_samples < self.num_clusters:
            raise ValueError(
                f"{self.num_clusters} clusters cannot be made from {self.num_samples} samples"
            )
        if self.grouped and self.world_size % self.num_super_classes:
            raise ValueError(
                f"groups need a multiple of {self.num_super_classes} processes, got "
                f"{self.world_size}"
            )

    @property
    def num_super_classes(self) -> int:
        """S = 4 m."""
        return ROTATIONS * self.num_super_clusters

    @property
    def sub_clusters(self) -> int:
        """K / m, clusters of a super-cluster and classes of a sub-head."""
        return self.num_clusters // self.num_super_clusters

    @property
    def passes(self) -> int:
        """Searches of all rows in each level."""
        return self.max_iters + 1

    @property
    def rows(self) -> float:
        """Rows of this process, N / W."""
        return self.num_samples / self.world_size

    @property
    def clustering_group(self) -> int:
        """Processes of the smallest group of level 2."""
        return max(1, self.world_size // self.num_super_clusters)

    @property
    def turns(self) -> int:
        """Super-clusters that a process clusters one after the other."""
        return -(-self.num_super_clusters // self.world_size)

    @property
    def group_rows(self) -> float:
        """Rows of this process in one k-means of level 2."""
        return self.num_samples / self.num_super_clusters / self.clustering_group

    @property
    def received_rows(self) -> float:
        """Rows that this process copies for level 2; alone, those of one super-cluster a time."""
        return self.group_rows if self.world_size == 1 else self.turns * self.group_rows

    @property
    def sub_heads(self) -> int:
        """Sub-heads that this process holds."""
        return 1 if self.grouped else self.num_super_classes

    @property
    def head_group(self) -> int:
        """Processes that hold the same sub-head."""
        return self.world_size // self.num_super_classes if self.grouped else self.world_size

    @property
    def sub_head_bytes(self) -> int:
        """Weights and biases of one sub-head."""
        return self.sub_clusters * (self.feature_dim + 1) * FP32

    @property
    def shared_bytes(self) -> int:
        """Weights of the backbone and of the head over super-classes."""
        params = self.backbone_params + self.num_super_classes * (self.feature_dim + 1)
        return params * FP32

    @property
    def drawn_from(self) -> float:
        """Samples among which the sampler of this process draws."""
        return self.num_samples / (self.num_super_clusters if self.grouped else 1)

    @property
    def steps(self) -> float:
        """Training steps of a cycle."""
        return self.epochs * self.num_samples / (self.world_size * self.batch_size)


@dataclass(frozen=True)
class Search:
    """Speed of a k-means; all numbers are seconds for the following.

    Attributes:
        multiply: a multiply-add of a search.
        score: looking at one score.
        number: one number of a row in one pass: preparing, adding, deciding between close ones.
        row: a row in one pass, whatever its width.
        centre: one number of the centroids in one pass.
        once: one number of a row before the first pass.
        call: a pass of nothing.
    """

    multiply: float
    score: float
    number: float
    row: float
    centre: float
    once: float
    call: float


@dataclass(frozen=True)
class Rates:
    """Speed of a machine; all numbers are seconds for the following.

    Attributes:
        held: k-means on rows in memory.
        mapped: k-means on rows of a memory-mapped file.
        pca_multiply: a multiply-add of the second moment, of which F^2 / 2 are computed for a row.
        pca_number: a number of a row in the fit of PCA.
        pca_cube: the eigenvalues of a matrix (F, F), divided by F^3; one process solves them.
        pca_vectors: D of its eigenvectors, divided by D F^2.
        apply_multiply: a multiply-add of the projection.
        apply_number: a number of a row that is projected.
        move_byte: a byte of rows that are picked and copied.
        index_sample: an image of the extraction, beside the network and its loading.
        label_sample: a sample, when labels are swapped and the sampler takes them.
        label_cluster: a cluster, in the same.
        draw_sample: a sample, when the sampler deals an epoch.
        draw_cluster: a cluster, in the same.
        save_byte: a byte of a checkpoint.
        extract_image: an image of the extraction.
        train_image: an image of a training step.
        link_byte: a byte sent to another process.
    """

    held: Search
    mapped: Search
    pca_multiply: float
    pca_number: float
    pca_cube: float
    pca_vectors: float
    apply_multiply: float
    apply_number: float
    move_byte: float
    index_sample: float
    label_sample: float
    label_cluster: float
    draw_sample: float
    draw_cluster: float
    save_byte: float
    extract_image: float
    train_image: float
    link_byte: float


@dataclass(frozen=True)
class Sizes:
    """Memory that is not counted but measured.

    Attributes:
        matrices: fp64 matrices (K, D) that k-means holds at its peak.
        row_bytes: Bytes of a row in k-means beside its numbers: labels, lengths, errors.
        label_bytes: Host bytes of a sample while the sampler takes labels, and those it keeps.
        draw_bytes: Host bytes of a sample while the sampler deals an epoch, and those it keeps.
        own_bytes: Host bytes of each draw of this process.
        activation_bytes: Bytes that the backbone keeps of an image for its gradient.
    """

    matrices: float
    row_bytes: float
    label_bytes: float
    draw_bytes: float
    own_bytes: float
    activation_bytes: float
