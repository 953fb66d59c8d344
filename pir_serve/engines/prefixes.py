"""Remembered keys and values of finished legs: a radix tree over token ids, bounded in tokens, least recently used
first.

One tree a tenant, so that no timing tells one tenant what another has said.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True, eq=False)
class _Node:
    ids: tuple[int, ...]
    strip: Tensor | None
    """(2, layers, kv_heads, len(ids), head_dim); None at a root."""
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)
    """By the first id of each child."""
    used: int = 0


class PrefixTree:
    """Not thread safe: it belongs to the engine's worker."""

    def __init__(self, max_tokens: int) -> None:
        """Args:
        max_tokens: most tokens kept, over all tenants; 0 keeps nothing.
        """
        self._max_tokens = max_tokens
        self._roots: dict[str, _Node] = {}
        self._clock = itertools.count(1)
        self.num_tokens = 0

    def find(self, tenant: str, ids: Sequence[int]) -> tuple[int, list[Tensor]]:
        """The longest remembered prefix of `ids`: its length, and strips that laid end to end hold it."""
        node, matched, strips = self._roots.get(tenant), 0, []
        now = next(self._clock)
        while node is not None:
            node.used = now
            child = node.children.get(ids[matched]) if matched < len(ids) else None
            if child is None or child.strip is None:
                break
            num = _common(child.ids, ids, matched)
            child.used = now
            strips.append(child.strip[:, :, :, :num])
            matched += num
            node = child if num == len(child.ids) else None
        return matched, strips

    def add(self, tenant: str, ids: Sequence[int], strip: Tensor, start: int) -> None:
        """Remember `ids`, whose tokens from `start` to the end are `strip` (kept as it is where all of it is new).

        Does nothing where the tree has meanwhile forgotten the first `start` tokens.
        """
        if len(ids) > self._max_tokens:
            return
        root = self._roots.setdefault(tenant, _Node((), None, None))
        node, matched = root, 0
        now = next(self._clock)
        while matched < len(ids):
            node.used = now
            child = node.children.get(ids[matched])
            if child is None:
                break
            num = _common(child.ids, ids, matched)
            matched += num
            if num < len(child.ids):
                node = self._split(child, num)
                break
            node = child
        node.used = now
        if start <= matched < len(ids):
            # A view of the new part would keep all of the strip alive.
            part = strip if matched == start else strip[:, :, :, matched - start :].clone()
            rest = _Node(tuple(ids[matched:]), part, node, used=now)
            node.children[rest.ids[0]] = rest
            self.num_tokens += len(rest.ids)
            self._shrink()

    def clear(self) -> None:
        self._roots.clear()
        self.num_tokens = 0

    def _split(self, node: _Node, num: int) -> _Node:
        """Cut a node after `num` ids and return the upper part. Copies, so that either part can be freed alone."""
        assert node.parent is not None and node.strip is not None
        upper = _Node(node.ids[:num], node.strip[:, :, :, :num].clone(), node.parent, used=node.used)
        node.parent.children[upper.ids[0]] = upper
        node.ids, node.strip, node.parent = node.ids[num:], node.strip[:, :, :, num:].clone(), upper
        upper.children[node.ids[0]] = node
        return upper

    def _shrink(self) -> None:
        """Forget the leaves used longest ago. Goes over the whole tree, hence down to 7/8 of the bound at a time."""
        if self.num_tokens <= self._max_tokens:
            return
        while self.num_tokens > self._max_tokens * 7 // 8:
            leaves = sorted((n for root in self._roots.values() for n in _leaves(root)), key=lambda n: n.used)
            if not leaves:
                break
            for leaf in leaves[: max(1, len(leaves) // 8)]:
                self._remove(leaf)
                if self.num_tokens <= self._max_tokens * 7 // 8:
                    break
        self._roots = {tenant: root for tenant, root in self._roots.items() if root.children}

    def _remove(self, leaf: _Node) -> None:
        assert leaf.parent is not None
        del leaf.parent.children[leaf.ids[0]]
        self.num_tokens -= len(leaf.ids)


def _common(run: Sequence[int], ids: Sequence[int], start: int) -> int:
    """How many leading items of `run` equal `ids` from `start` on."""
    limit = min(len(run), len(ids) - start)
    if tuple(run[:limit]) == tuple(ids[start : start + limit]):
        return limit
    return next(i for i in range(limit) if run[i] != ids[start + i])


def _leaves(root: _Node) -> list[_Node]:
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        if node.children:
            stack.extend(node.children.values())
        elif node.parent is not None:
            found.append(node)
    return found
