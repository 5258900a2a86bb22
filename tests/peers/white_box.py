"""The peers' tests that look inside their own class and so cannot pass on ours: each by name, with the reason.

The run fails if one of them passes, so this list stays true.
"""

_IDENTITY = "wants the very object back; ours keeps bytes and gives a copy, so that nobody can change what is stored"
_OBJECT = "stores an object of a class of its own as it is; ours keeps plain data only, as it would need pickle"
_DICT = "puts a dict into the private field `_cache` and expects the cache to read it"
_VALUES = {"2.0": _IDENTITY, "hi": _IDENTITY, "obj4": _IDENTITY, "obj5": _IDENTITY, "obj6": _OBJECT}
_HOOKS = ("test_set_get_types", "test_add_get_types", "test_multi_set_multi_get_types")
_RATIOS = ("data0-0.6", "data1-0.2", "data3-1")

AIOCACHE: dict[str, str] = {
    "test_base.TestMemoryCache.test_raw": "sends a dict's methods (setdefault, keys); ours has the back end's",
    "test_base.TestRedisCache.test_raw": "sends commands of Redis (get, keys); ours has the back end's",
    "test_factory.TestCache.test_from_url_redis": "asks whether the cache is an instance of aiocache's own class",
    "test_factory.TestCache.test_from_url_memory": "asks whether the cache is an instance of aiocache's own class",
    **{f"test_plugins.TestHitMissRatioPlugin.test_get_hit_miss_ratio[{ratio}]": _DICT for ratio in _RATIOS},
    **{f"test_plugins.TestHitMissRatioPlugin.test_multi_get_hit_miss_ratio[{ratio}]": _DICT for ratio in _RATIOS},
    **{
        f"test_serializers.TestNullSerializer.{hook}[{value}]": reason
        for hook in _HOOKS
        for value, reason in _VALUES.items()
    },
}
