"""Use the cache by itself: one computation a key, however many ask at once, and figures that tell what it saved."""

import asyncio

from streamproc import CacheConfig, CacheManager, LRUCache


async def main() -> None:
    computed: list[str] = []

    async def length_of(word: str) -> int:
        await asyncio.sleep(0.01)  # something slow or dear
        computed.append(word)
        return len(word)

    config = CacheConfig(ttl_hours=1, max_size_mb=10)  # backend="sqlite" outlives the process, "redis" is shared
    async with CacheManager[int](config) as cache:
        words = ["red", "green", "red", "red", "green"]
        lengths = await asyncio.gather(
            *(cache.get_or_compute(word, lambda word=word: length_of(word)) for word in words)
        )
        print(lengths, f"computed {len(computed)} of {len(words)}")
        await cache.set_many({"blue": 4, "yellow": 6})
        print(await cache.get_many(["yellow", "mauve", "red"]))
        metrics = cache.metrics()
        print(f"{metrics.entries} entries, {metrics.coalesced} callers coalesced, hit ratio {metrics.hit_ratio:.2f}")

    recent: LRUCache[str, bytes] = LRUCache(max_bytes=8, ttl_seconds=60)  # synchronous, a mapping, for anything
    recent["a"], recent["b"] = b"1234", b"5678"
    recent.get("a")
    recent["c"] = b"90"
    print(sorted(recent), recent.metrics().evictions, "evicted")


asyncio.run(main())
