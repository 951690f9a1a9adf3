"""A data set seen through a pipeline that OpenCV executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from mmdeepcluster.datasets.image_view import ImageView, Pipeline
from mmdeepcluster.datasets.jpeg_file import JpegFile, open_jpeg
from mmdeepcluster.datasets.transforms.opencv import OpenCVPipeline


class OpenCVView(ImageView):
    """As :class:`~mmdeepcluster.datasets.image_view.ImageView`, executed by OpenCV.

    It changes results a little: all random numbers are the same, pixels differ by about 0.4 of 255
    on average. JPEG files are decoded by OpenCV too, with the pixels of Pillow; where a part of a
    file is wanted at less than a third of its size, at 1/2, 1/4 or 1/8. Files of other kinds and
    images in memory come as they do there.

    Args:
        dataset: the images.
        pipeline: transform configs.
        name: config key of the pipeline, for messages.

    Raises:
        ValueError: the pipeline has a transform, or an option of one, that OpenCV does not execute.
        TypeError: see the base class.
    """

    def _pipeline(self, pipeline: Sequence[Mapping[str, Any]]) -> Pipeline:
        return OpenCVPipeline(pipeline)

    def _load(self, index: int) -> Image.Image | JpegFile:
        data = self.dataset.read_file(index)
        if data is not None:
            image = open_jpeg(data, lambda: self.dataset.load_image(index))
            if image is not None:
                return image
        return self.dataset.load_image(index)
