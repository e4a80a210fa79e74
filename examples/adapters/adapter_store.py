# SPDX-License-Identifier: Apache-2.0
"""What the adapters written in Python share: the store that an engine's config names, and keys."""

from __future__ import annotations

import hashlib
from typing import Any, Mapping, Union

import sluice

#: The smaller goes first. Lookups are small; a request waits for a load, nobody waits for a store.
RANKS = {
    sluice.BatchKind.EXISTS: 0.0,
    sluice.BatchKind.REMOVE: 0.0,
    sluice.BatchKind.GET: 1.0,
    sluice.BatchKind.PUT: 2.0,
}


def open_store(
    nodes: str = "memory",
    secret_file: str = "",
    replicas: int = 0,
    connections: int = 0,
    capacity: int = 0,
) -> sluice.Store:
    """The store of these config values.

    nodes: "tcp://host:port,tcp://host:port": memory nodes. "memory": of this process, which keeps
    `capacity` bytes (0: 1 GiB) of the blocks that were used last.
    secret_file: what clients and nodes share. replicas: nodes that each block is put to (0: 1).
    connections: for data, per node (0: 1).
    """
    if nodes == "memory":
        return sluice.Store.memory(capacity=capacity, evict=True)
    return sluice.Store.fabric(
        nodes, secret_file=secret_file or None, replicas=replicas, connections=connections
    )


def open_store_of(config: Mapping[str, Any]) -> sluice.Store:
    """Of a config that has keys of others too."""
    names = ("nodes", "secret_file", "replicas", "connections", "capacity")
    return open_store(**{name: config[name] for name in names if name in config})


def block_key(*parts: Union[str, bytes, int]) -> bytes:
    """The key of a name in parts: 32 bytes, as engines' names are longer than that. Names that
    differ in a part have different keys."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.digest()
