# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Keyset paging: every item, or page by page with each page's receipt."""

from __future__ import annotations

from collections.abc import Iterator, Callable, Iterable
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from entente_sdk._runtime_sync import Fetch
from entente_sdk.answers import Answer

M = TypeVar("M", bound=Message)
Item = TypeVar("Item")


class Pages(Generic[M, Item]):
    """The items of all pages, fetched as they are iterated; `pages()` for the answers themselves."""

    def __init__(self, fetch: Fetch[M], items: Callable[[M], Iterable[Item]]) -> None:
        self._fetch = fetch
        self._items = items

    def first(self) -> Answer[M]:
        """The first page only."""
        return self._fetch("")

    def pages(self) -> Iterator[Answer[M]]:
        """Answer by answer, each verified. Raises EntenteError."""
        token = ""
        while True:
            page = self._fetch(token)
            yield page
            message: Any = page.message
            token = message.next_page_token
            if not token:
                return

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            for item in self._items(page.message):
                yield item
