"""Where vectors are kept: in memory, or in a temporary file that is mapped into it."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tasksel.host_memory import free_memory_bytes

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["as_float32", "is_floating", "new_vectors"]

MEMORY_SHARE = 0.25
"""Share of the free memory that vectors may take before they go to a file."""

UNKNOWN_MEMORY_BYTES = 1 << 30
"""What they may take where the system does not say how much is free."""

BLOCK_BYTES = 1 << 24
"""Bytes converted or written at a time."""


def is_floating(dtype: DTypeLike) -> bool:
    """Whether numbers of that type can become float32: numpy's floats and bfloat16."""
    dtype = np.dtype(dtype)
    return np.issubdtype(dtype, np.floating) or _is_bfloat16(dtype)


def as_float32(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return the vectors in float32, each row adjacent in memory; those that are so already, as they are.

    Parameters
    ----------
    vectors : ndarray of a floating type, shape (n_rows, n_dimensions)

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        The array itself (of a mapped file, the mapping), or a conversion as `new_vectors` keeps it.

    Examples
    --------
    >>> as_float32(np.array([[0.5, 1.0]], dtype=np.float16))
    array([[0.5, 1. ]], dtype=float32)
    """
    if vectors.dtype == np.float32 and (vectors.shape[1] < 2 or vectors.strides[1] == 4):
        return vectors
    converted = new_vectors(*vectors.shape)
    n_block_rows = max(1, BLOCK_BYTES // max(1, 4 * vectors.shape[1]))
    for start in range(0, len(vectors), n_block_rows):
        block = vectors[start : start + n_block_rows]
        converted[start : start + n_block_rows] = _widened(block) if _is_bfloat16(block.dtype) else block
    return converted


def new_vectors(n_rows: int, n_dimensions: int) -> NDArray[np.float32]:
    """Return room for vectors: in memory, or in a temporary file if that would take too much of it.

    The file has no name or is deleted when the array is gone, also when the process is killed. All its
    blocks are reserved at once, since writing to a mapping on a full disk ends the process.

    Parameters
    ----------
    n_rows, n_dimensions : int
        Shape of the array.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        Undefined values.

    Raises
    ------
    OSError
        The disk has no room.

    Examples
    --------
    >>> new_vectors(2, 3).shape
    (2, 3)
    """
    n_bytes = 4 * n_rows * n_dimensions
    if n_bytes <= _memory_for_vectors():
        return np.empty((n_rows, n_dimensions), dtype=np.float32)
    try:
        with tempfile.TemporaryFile(prefix="tasksel-embeddings-") as file:
            _reserve(file, n_bytes)
            return np.memmap(file, dtype=np.float32, mode="r+", shape=(n_rows, n_dimensions))
    except OSError as error:
        wanted = f"a temporary file of {n_bytes / 2**30:.2f} GiB for embeddings, which TMPDIR can move"
        raise OSError(error.errno, f"{error.strerror or error}: {wanted}", tempfile.gettempdir()) from error


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    # numpy has no such type: that of ml_dtypes is a void type to it, and loses its name in a .npy file.
    return dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None and dtype.subdtype is None


def _widened(block: NDArray[Any]) -> NDArray[np.float32]:
    """Widen bfloat16, the upper half of a float32."""
    upper = np.ascontiguousarray(block).view(np.uint16).astype(np.uint32)
    return (upper << 16).view(np.float32)


def _reserve(file: IO[bytes], n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        else:
            return
    # A system or file system that cannot reserve.
    zeros = bytes(BLOCK_BYTES)
    for start in range(0, n_bytes, BLOCK_BYTES):
        file.write(zeros[: n_bytes - start])
    file.flush()


def _memory_for_vectors() -> float:
    free = free_memory_bytes()
    return UNKNOWN_MEMORY_BYTES if free is None else MEMORY_SHARE * free
