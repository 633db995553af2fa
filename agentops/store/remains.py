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
#: Types of whole numbers in a record, and how long they are there.
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
#: How what is compressed begins.
_FRAME = b"\x28\xb5\x2f\xfd"


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
    usable = page_size - head[20]
    for at in range(0, size, page_size):
        page = os.pread(descriptor, page_size, at)
        whole = [(0, len(page))]
        for begin, end in whole if at // page_size + 1 in free else _gaps(page, _HEADER if not at else 0):
            yield page[begin:end]
            frame = page.find(_FRAME, begin, end)
            while frame >= 0:
                yield b"".join(_block(descriptor, page, frame, page_size, usable))
                frame = page.find(_FRAME, frame + 1, end)


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


def _gaps(page: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Where something is free in a page of a tree; nothing if it is another kind of page."""
    if len(page) < start + 12 or page[start] not in _HEADS:
        return
    block, cells, content = struct.unpack_from(">HHH", page, start + 1)
    begin = start + _HEADS[page[start]] + 2 * cells
    content = content or 1 << 16
    if begin + _LEAST <= content <= len(page):
        yield begin, content
    before = 0
    while before < block <= len(page) - 4:  # they stand in the order of their places
        following, length = struct.unpack_from(">HH", page, block)
        if length > _LEAST + 4:
            yield block + 4, min(block + length, len(page))
        before, block = block, following


def _block(descriptor: int, page: bytes, at: int, page_size: int, usable: int) -> Iterator[bytes]:
    """A deleted row of `blocks` whose compressed contents begin at `at`: most of it stands in other pages, in a chain.

    The row is its size and number, which are overwritten, and a record: its head has its own length, a zero for `first`
    and the types of `last` and of `data`, and the values follow it.
    """
    for begin in range(at - 4, max(-1, at - 17), -1):
        length, last = page[begin], page[begin + 2]
        kind, end = 0, begin + 3
        while end < at and page[end] & 0x80:
            kind, end = kind << 7 | page[end] & 0x7F, end + 1
        kind = (kind << 7 | page[end]) - 12
        if page[begin + 1] or last not in _INTEGERS or kind < 0 or kind % 2 or begin + length != end + 1:
            continue
        if end + 1 + _INTEGERS[last] == at:
            break
    else:
        return
    left = kind // 2
    size = at - begin + left  # how much of it is in this page: section 1.6 of the format
    local, least = size, (usable - 12) * 32 // 255 - 23
    if size > usable - 35:
        local = least + (size - least) % (usable - 4)
        local = local if local <= usable - 35 else least
    yield page[at : begin + local]
    left -= begin + local - at
    following = page[begin + local : begin + local + 4]
    while left > 0 and len(following) == 4 and any(following):
        more = os.pread(descriptor, usable, (int.from_bytes(following, "big") - 1) * page_size)
        yield more[4 : 4 + left]
        left -= usable - 4
        following = more[:4]
