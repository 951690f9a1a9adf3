"""The table of an export in a format for data frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import FIRST_COLUMNS, replacing, sample_chunks

_GROUP = 65536


def write_parquet(
    path: Path, dataset: BaseImageDataset, columns: Mapping[str, NDArray[Any]]
) -> Path | None:
    r"""Writes the rows of ``write_table`` as Parquet; None, with a word, without pyarrow.

    Unknown labels are null. Names that are not valid UTF-8 have their bytes escaped (``\xff``),
    as Parquet cannot hold them.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        print_log(f"no {path.name}: it needs pyarrow (pip install pyarrow)", "current")
        return None
    kinds = [pyarrow.int64(), pyarrow.string(), pyarrow.string()]
    kinds += [pyarrow.from_numpy_dtype(column.dtype) for column in columns.values()]
    schema = pyarrow.schema(list(zip((*FIRST_COLUMNS, *columns), kinds, strict=True)))
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for start, stop, names, labels in sample_chunks(dataset, _GROUP):
            arrays = [
                pyarrow.array(range(start, stop), pyarrow.int64()),
                pyarrow.array([_valid(name) for name in names], pyarrow.string()),
                pyarrow.array([label or None for label in labels], pyarrow.string()),
                *(pyarrow.array(column[start:stop]) for column in columns.values()),
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    return path


def _valid(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
