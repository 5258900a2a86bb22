"""`LRUCache` under the names of cachetools, so that cachetools' own tests can be run on it."""

from collections.abc import Callable
from typing import Any

from streamproc.cache.lru import LRUCache


class AsCachetools(LRUCache[Any, Any]):
    """Where the two differ in more than names, it does what cachetools does.

    - There a bound counts what `getsizeof` gives, 1 for each value if nothing is given; here that is `max_bytes`.
    - There a value that is too large raises, and the earlier value of its key stays; here it is rejected and counted,
      and the earlier value, which is out of date, goes.
    - There `[]` asks `__missing__` for what is not held, as `dict` does; here no subclass is asked.
    """

    def __init__(self, maxsize: float, getsizeof: Callable[[Any], int] | None = None) -> None:
        if getsizeof is not None:
            self.getsizeof = getsizeof  # type: ignore[method-assign]
        super().__init__(max_bytes=maxsize, size_of=self.getsizeof)  # type: ignore[arg-type]  # infinity is a bound there

    @staticmethod
    def getsizeof(value: Any) -> int:
        return 1

    @property
    def maxsize(self) -> float:
        return self._max_bytes

    @property
    def currsize(self) -> int:
        return self.current_bytes

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.getsizeof(value) > self.maxsize:
            raise ValueError("value too large")
        super().__setitem__(key, value)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if key in self else self.__missing__(key)

    def __missing__(self, key: Any) -> Any:
        raise KeyError(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[Any, Any]:
        try:
            return super().popitem()
        except KeyError:
            raise KeyError("cache is empty") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(maxsize={self.maxsize}, currsize={self.currsize})"
