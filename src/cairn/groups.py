"""Graphs of pairs: which images hang together, and which few can stand for the rest.

Everything works on arrays of pairs, a bounded number of passes over them, never node by node.

Legend of shapes: N nodes, E pairs.
"""

from __future__ import annotations

import numpy as np

from cairn.domain import Int64


def components(num: int, first: Int64, second: Int64) -> Int64:
    """Return for each of ``num`` nodes the lowest node that it hangs together with.

    Each pass hooks the higher root of a pair to the lower one and shortens all ways to the roots
    (Shiloach and Vishkin 1982), until both ends of every pair have one root.
    """
    roots = np.arange(num, dtype=np.int64)
    while len(first):
        a, b = roots[first], roots[second]
        apart = a != b
        first, second = first[apart], second[apart]
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        np.minimum.at(roots, high, low)
        while not np.array_equal(shorter := roots[roots], roots):
            roots = shorter
    return roots


def stand_ins(rank: Int64, first: Int64, second: Int64) -> Int64:
    """Return for each node the one that stands for it: itself, or a kept one it is paired with.

    No two kept nodes are paired, and every other one is paired with the one that stands for it, so
    that a chain of pairs never loses its middle. In each pass the nodes that rank before all
    undecided ones they are paired with are kept (Luby 1986): few passes, unless ranks rise along
    chains.

    Args:
        rank: (N,) different numbers; nodes with low ones are kept first.
        first: (E,) nodes.
        second: (E,) nodes they are paired with, never themselves.
    """
    node_of = np.argsort(rank)
    order = np.empty(len(rank), np.int64)  # places 0 to N - 1 by rank
    order[node_of] = np.arange(len(rank))
    keeper = np.arange(len(rank), dtype=np.int64)
    a = np.concatenate([order[first], order[second]])
    b = np.concatenate([order[second], order[first]])
    lowest = np.full(len(rank), len(rank), np.int64)
    decided = np.zeros(len(rank), bool)
    while len(a):
        np.minimum.at(lowest, a, b)
        kept = a < lowest[a]
        lowest[a] = len(rank)
        winner, loser = a[kept], b[kept]
        np.minimum.at(lowest, loser, winner)
        keeper[node_of[loser]] = node_of[lowest[loser]]
        lowest[loser] = len(rank)
        decided[winner] = decided[loser] = True
        open_ = ~(decided[a] | decided[b])
        a, b = a[open_], b[open_]
    return keeper


def numbered(groups: Int64) -> Int64:
    """Return the groups' numbers, from 0 by first appearance."""
    seen, where, inverse = np.unique(groups, return_index=True, return_inverse=True)
    number = np.empty(len(seen), np.int64)
    number[np.argsort(where)] = np.arange(len(seen))
    return number[inverse]
