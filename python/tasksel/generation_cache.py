"""Keys and values of a batch that grow without being copied, and shrink when rows have ended."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["KeyValues"]

_ROOM_TOKENS = 128
"""Columns added at a time; a cache that grows by one column a step copies all of itself at each."""


class KeyValues:
    """The cache of a model whose layers all look at the whole text.

    Parameters
    ----------
    network : Any
        A causal language model of transformers.
    """

    def __init__(self, network: Any) -> None:
        from transformers import Cache

        n_layers = len(_plain_cache(network).layers)
        self.cache = Cache(layers=[_roomy_layer()() for _ in range(n_layers)])

    @staticmethod
    def fits(network: Any) -> bool:
        """Tell whether every layer keeps plain keys and values: no window, no recurrent state."""
        from transformers.cache_utils import DynamicLayer

        layers = _plain_cache(network).layers
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    def select(self, rows: Any, first_column: int = 0) -> None:
        """Keep some rows, in the order given and with repeats, and the columns from one on.

        Parameters
        ----------
        rows : Tensor of int64, shape (n_rows,)
            Their positions.
        first_column : int
            What stands before it is dropped.
        """
        for layer in self.cache.layers:
            layer.select(rows, first_column)


def _plain_cache(network: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=network.config)


@functools.cache
def _roomy_layer() -> Any:
    """Return the class of one layer, made here because its base needs transformers."""
    import torch
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
        """Keys and values in stores with room at the end; what is attended to is a view of them."""

        is_initialized: bool
        keys: Any
        values: Any

        def update(self, key_states: Any, value_states: Any, *_args: Any, **_options: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.dtype, self.device = key_states.dtype, key_states.device
                self.is_initialized = True
                self._stores = [key_states[:, :, :0], value_states[:, :, :0]]
                self._length = 0
            start, stop = self._length, self._length + key_states.shape[-2]
            if stop > self._stores[0].shape[-2]:
                self._stores = [_copy(store[:, :, :start], stop + _ROOM_TOKENS) for store in self._stores]
            for store, states in zip(self._stores, (key_states, value_states), strict=True):
                store[:, :, start:stop] = states
            self._show(stop)
            return self.keys, self.values

        def select(self, rows: Any, first_column: int) -> None:
            if not self.is_initialized:  # a layer that uses the keys and values of another one
                return
            stop = self._length - first_column
            self._stores = [
                _copy(store[:, :, first_column : self._length][rows], stop + _ROOM_TOKENS)
                for store in self._stores
            ]
            self._show(stop)

        def _show(self, length: int) -> None:
            self._length = length
            self.keys, self.values = (store[:, :, :length] for store in self._stores)

    def _copy(states: Any, room: int) -> Any:
        n_rows, n_heads, length, n_dimensions = states.shape
        store = torch.empty((n_rows, n_heads, room, n_dimensions), dtype=states.dtype, device=states.device)
        store[:, :, :length] = states
        return store

    return RoomyLayer
