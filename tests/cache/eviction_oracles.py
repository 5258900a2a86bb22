"""Eviction by keeping lists and looking through all of them, every time: slow, and plain to see right."""

from dataclasses import dataclass


@dataclass
class Held:
    """All that any oracle wants to know of an entry."""

    key: int
    value: bytes
    cost: float
    expires_at: float
    last_use: int
    uses: int = 0
    priority: float = 0.0
    queue: str = ""

    @property
    def size(self) -> int:
        return len(self.value)


class LRUOracle:
    """The entry whose last use is the longest ago."""

    def __init__(self, max_bytes: int) -> None:
        self.held: list[Held] = []

    def admits(self, key: int, size: int) -> bool:
        return True

    def came(self, entry: Held) -> None:
        pass

    def used(self, entry: Held) -> None:
        pass

    def next_to_go(self) -> Held:
        return min(self.held, key=lambda entry: entry.last_use)


class GDSFOracle(LRUOracle):
    """The lowest age + uses * cost / size, the insertion being a use; its priority is the next age."""

    age = 0.0

    def came(self, entry: Held) -> None:
        self.used(entry)

    def used(self, entry: Held) -> None:
        uses = entry.uses + 1  # of an entry that only came, `uses` is 0
        entry.priority = self.age + uses * entry.cost / (entry.size or 1)

    def next_to_go(self) -> Held:
        lowest = min(self.held, key=lambda entry: (entry.priority, entry.last_use))
        self.age = lowest.priority
        return lowest


class S3FIFOOracle(LRUOracle):
    """Three lists, and each entry says in which it is."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.small_bytes = int(max_bytes * 0.1)
        self.main_bytes = max_bytes - self.small_bytes
        self.ghost_bytes = int(max_bytes * 0.9)
        self.small: list[Held] = []
        self.main: list[Held] = []
        self.ghost: list[tuple[int, int]] = []
        self.returning = False

    def admits(self, key: int, size: int) -> bool:
        self.returning = key in [k for k, _ in self.ghost]
        self.ghost = [(k, s) for k, s in self.ghost if k != key]
        return size < self.small_bytes

    def came(self, entry: Held) -> None:
        (self.main if self.returning else self.small).append(entry)

    def sweep(self) -> None:
        """Drop from the lists what went without asking."""
        self.small = [entry for entry in self.small if entry in self.held]
        self.main = [entry for entry in self.main if entry in self.held]

    def next_to_go(self) -> Held:
        self.sweep()
        if sum(entry.size for entry in self.main) <= self.main_bytes:
            while self.small:
                entry = self.small.pop(0)
                if entry.uses < 2:
                    self.ghost.append((entry.key, entry.size))
                    while sum(size for _, size in self.ghost) > self.ghost_bytes:
                        self.ghost.pop(0)
                    return entry
                entry.uses = 0
                self.main.append(entry)
        while True:
            entry = self.main.pop(0)
            if entry.uses == 0:
                return entry
            entry.uses = min(entry.uses, 3) - 1
            self.main.append(entry)
