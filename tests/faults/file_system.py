"""A small file system in memory, served by this process through /dev/fuse; with `no-locks` it has no locks.

    python file_system.py PLACE TYPE [no-locks]

It says `mounted` once it is. The protocol: linux/fuse.h. What is not needed here is not implemented.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

INIT, FLOCK_LOCKS = 26, 1 << 10
SILENT = {2, 36, 42}  # forget, interrupt, batch forget: nobody waits for an answer
LOCK = {31, 32, 33}
DONE = {4, 18, 20, 25, 29, 34}  # setattr is answered below; release, fsync, flush, releasedir, access


class FileSystem:
    def __init__(self, device: int, locks: bool) -> None:
        self.device = device
        self.locks = locks
        self.modes = {1: stat.S_IFDIR | 0o700}
        self.children: dict[int, dict[bytes, int]] = {1: {}}
        self.data: dict[int, bytearray] = {}

    def attributes(self, node: int) -> bytes:
        size = len(self.data.get(node, b""))
        return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, self.modes[node], 1, 0, 0, 0, 4096, 0)

    def entry(self, node: int) -> bytes:
        return struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + self.attributes(node)

    def make(self, parent: int, name: bytes, mode: int) -> int:
        node = max(self.modes) + 1
        self.modes[node] = mode
        self.children[parent][name] = node
        if stat.S_ISDIR(mode):
            self.children[node] = {}
        else:
            self.data[node] = bytearray()
        return node

    def answer(self, code: int, node: int, body: bytes) -> bytes:
        """The answer to one request; an OSError becomes one."""
        if code == INIT:
            flags = 0 if self.locks else FLOCK_LOCKS
            return struct.pack("<4I2H2I2H8I", 7, 31, 0, flags, 0, 0, 65536, 1, 0, 0, *[0] * 8)
        if code in LOCK:
            raise OSError(errno.ENOLCK, "no locks")
        if code == 1:  # lookup
            try:
                return self.entry(self.children[node][body.rstrip(b"\0")])
            except KeyError:
                raise OSError(errno.ENOENT, "no such file") from None
        if code in (3, 4):  # getattr, setattr
            return struct.pack("<Q2I", 0, 0, 0) + self.attributes(node)
        if code == 9:  # mkdir
            return self.entry(self.make(node, body[8:].rstrip(b"\0"), stat.S_IFDIR | 0o700))
        if code == 35:  # create
            made = self.make(node, body[16:].rstrip(b"\0"), stat.S_IFREG | 0o600)
            return self.entry(made) + struct.pack("<Q2I", 0, 0, 0)
        if code == 10:  # unlink
            del self.children[node][body.rstrip(b"\0")]
            return b""
        if code in (14, 27):  # open, opendir
            return struct.pack("<Q2I", 0, 0, 0)
        if code == 16:  # write
            offset, size = struct.unpack_from("<QI", body, 8)
            self.data[node][offset : offset + size] = body[40 : 40 + size]
            return struct.pack("<2I", size, 0)
        if code == 17:  # statfs
            return struct.pack("<5Q4I6I", 10**6, 10**6, 10**6, 10**6, 10**6, 4096, 255, 4096, 0, *[0] * 6)
        if code == 28 or code in DONE:  # readdir: as if it were empty
            return b""
        raise OSError(errno.ENOSYS, "not needed")

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as problem:
                if problem.errno == errno.ENODEV:  # unmounted
                    return
                raise
            _, code, unique, node = struct.unpack_from("<2I2Q", request)
            if code in SILENT:
                continue
            try:
                error, body = 0, self.answer(code, node, request[40:])
            except OSError as problem:
                error, body = -(problem.errno or errno.EIO), b""
            os.write(self.device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def main(place: str, kind: str, *words: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(place), kind.encode(), 0, options):
        sys.exit(f"no right to mount here: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    FileSystem(device, "no-locks" not in words).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
