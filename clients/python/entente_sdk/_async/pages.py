"""Keyset paging: every item, or page by page with each page's receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from entente_sdk._runtime_async import Fetch
from entente_sdk.answers import Answer

M = TypeVar("M", bound=Message)
Item = TypeVar("Item")


class AsyncPages(Generic[M, Item]):
    """The items of all pages, fetched as they are iterated; `pages()` for the answers themselves."""

    def __init__(self, fetch: Fetch[M], items: Callable[[M], Iterable[Item]]) -> None:
        self._fetch = fetch
        self._items = items

    async def first(self) -> Answer[M]:
        """The first page only."""
        return await self._fetch("")

    async def pages(self) -> AsyncIterator[Answer[M]]:
        """Answer by answer, each verified. Raises EntenteError."""
        token = ""
        while True:
            page = await self._fetch(token)
            yield page
            message: Any = page.message
            token = message.next_page_token
            if not token:
                return

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in self._items(page.message):
                yield item
