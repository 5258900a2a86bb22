"""What has a life: entered, left, and closed by leaving."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Closes itself when its `async with` block is left, however that is."""

    async def aclose(self) -> None:
        """Let go of what is open. Harmless when called twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
