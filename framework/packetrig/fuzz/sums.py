"""What no counter counts: clang derives sides of branches from others, as sums of counters."""

from __future__ import annotations

from functools import lru_cache

from .._bpf import covmap
from ..coverage import Profile

# Counters by number, each with the factor (1 or -1) that it goes into the sum with.
Terms = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def sums_of(profile: Profile) -> tuple[Terms, ...]:
    """List the sums of counters that count a side of a branch, or a piece of code, each once."""
    found: dict[Terms, None] = {}
    first = {(each.name, each.hash): each.offset // 8 for each in profile.functions}
    for mapped in covmap.read(profile, name=profile.object.name):
        at = first[mapped.name, mapped.hash]
        for region in mapped.regions:
            for side in (region.count, region.otherwise):
                terms = tuple(sorted((at + number, factor) for number, factor in side.items()))
                if len(terms) > 1:
                    found[terms] = None
    return tuple(found)


def executed(profile: Profile, taken: bytes) -> frozenset[int]:
    """Tell what counters say was executed: numbers of counters, and behind them of sums."""
    counts = memoryview(taken).cast("Q")
    found = {number for number, count in enumerate(counts) if count}
    for number, terms in enumerate(sums_of(profile), len(counts)):
        if sum(counts[counter] * factor for counter, factor in terms) > 0:
            found.add(number)
    return frozenset(found)
