"""A bundle's files in one archive (tar, gzip), as OPA reads it.

MUSTs:
1. What is read is bounded before it is looked at: the archive, what it unpacks to, and the number of its files.
2. Plain files alone, each name once and in the alphabet of bundles: no folders, links, devices or paths that lead out.
3. One stream and nothing after it, so that no two readers find two different bundles in the same bytes.
Does not: say what the files mean (`bundle.py`), or who made them (`bundle_signature.py`).
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Mapping

MAX_ARCHIVE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 4 << 20
MAX_FILES = 64

MANIFEST, SIGNATURES, DATA = ".manifest", ".signatures.json", "policy/data.json"
_MODULE = re.compile(r"[a-z][a-z0-9_]{0,63}\.rego", re.ASCII)
_ENDS_GZIP = 16 + zlib.MAX_WBITS


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files; the same files give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(packed.getvalue(), mtime=0)


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive, by name. Raises ValueError."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise ValueError(f"the bundle is larger than {MAX_ARCHIVE_BYTES} bytes")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(archive)), mode="r:") as tar:
            for entry in tar:
                _require_plain(entry, files)
                content = tar.extractfile(entry)
                files[entry.name] = content.read() if content is not None else b""
    except (tarfile.TarError, zlib.error, EOFError, OverflowError, UnicodeError, RecursionError) as error:
        raise ValueError(f"the bundle is not a whole archive (tar.gz): {error}") from None
    return files


def _unzipped(archive: bytes) -> bytes:
    stream = zlib.decompressobj(_ENDS_GZIP)
    content = stream.decompress(archive, MAX_UNPACKED_BYTES + 1)
    if len(content) > MAX_UNPACKED_BYTES:
        raise ValueError(f"the bundle unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        raise ValueError("the bundle is not one whole gzip stream")
    return content


def _require_plain(entry: tarfile.TarInfo, before: Mapping[str, bytes]) -> None:
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.pax_headers:
        raise ValueError(f"{entry.name!r} is not a plain file; a bundle holds nothing else")
    if entry.name not in (MANIFEST, SIGNATURES, DATA) and not _MODULE.fullmatch(entry.name):
        raise ValueError(f"a bundle has no file {entry.name!r}: modules (*.rego), {DATA}, {MANIFEST}, {SIGNATURES}")
    if entry.name in before:
        raise ValueError(f"{entry.name!r} stands twice in the bundle")
    if len(before) == MAX_FILES:
        raise ValueError(f"a bundle has at most {MAX_FILES} files")
