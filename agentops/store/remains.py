"""What is left in a database file of what was deleted: free pages, and the gaps in those that are used.

https://www.sqlite.org/fileformat2.html, read by hand: SQLite itself shows only what is there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

__all__ = ["APPLICATION_ID_AT", "MAGIC", "is_database", "remains"]

MAGIC = b"SQLite format 3\0"
APPLICATION_ID_AT = 68
_HEADER = 100
_LEAST = 8
#: Kinds of pages of a tree: inner and outer ones, of indexes and of tables; how long their heads are.
_HEADS = {2: 12, 5: 12, 10: 8, 13: 8}


def is_database(head: bytes) -> bool:
    """Whether a file that begins so is one of SQLite's."""
    return head.startswith(MAGIC)


def remains(descriptor: int) -> Iterator[bytes]:
    """The bytes of an open database file that belong to nothing."""
    head = os.pread(descriptor, _HEADER, 0)
    size = os.fstat(descriptor).st_size
    if len(head) < _HEADER or not is_database(head):
        return
    page_size = struct.unpack_from(">H", head, 16)[0]
    page_size = 1 << 16 if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):
        return
    free = _free(descriptor, struct.unpack_from(">I", head, 32)[0], page_size, size)
    for at in range(0, size, page_size):
        page = os.pread(descriptor, page_size, at)
        if at // page_size + 1 in free:
            yield page
        else:
            yield from _gaps(page, _HEADER if not at else 0)


def _free(descriptor: int, trunk: int, page_size: int, size: int) -> set[int]:
    """Numbers of the free pages: a chain of lists."""
    found: set[int] = set()
    while trunk and trunk not in found and trunk * page_size <= size:
        found.add(trunk)
        page = os.pread(descriptor, page_size, (trunk - 1) * page_size)
        if len(page) < 8:
            break
        trunk, count = struct.unpack_from(">II", page)
        count = min(count, (len(page) - 8) // 4)
        found.update(struct.unpack_from(f">{count}I", page, 8))
    return found


def _gaps(page: bytes, start: int) -> Iterator[bytes]:
    """What is free in a page of a tree; nothing if it is another kind of page."""
    if len(page) < start + 12 or page[start] not in _HEADS:
        return
    block, cells, content = struct.unpack_from(">HHH", page, start + 1)
    begin = start + _HEADS[page[start]] + 2 * cells
    content = content or 1 << 16
    if begin + _LEAST <= content <= len(page):
        yield page[begin:content]
    before = 0
    while before < block <= len(page) - 4:  # they stand in the order of their places
        following, length = struct.unpack_from(">HH", page, block)
        if length > _LEAST + 4:
            yield page[block + 4 : block + length]
        before, block = block, following
