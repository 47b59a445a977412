"""Zip archives that cost no more than their limits allow, and whose member names are never a path of this machine."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable

_STEP_BYTES: Final = 65_536
_ENCRYPTED_FLAG: Final = 1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A few kilobytes of blanks compress better than any limit, and harm nobody.
_RATIO_FROM_BYTES: Final = 1_000_000
_DAMAGED: Final = "The file is damaged: the archive that it is cannot be unpacked."


class ZipArchive:
    """Members by name, case ignored. What is unpacked counts, over all members, while it is being unpacked."""

    def __init__(self, data: bytes, limits: ParseLimits) -> None:
        self._limits = limits
        self._unpacked = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
            raise unreadable(_DAMAGED) from error
        members = self._zip.infolist()
        if len(members) > limits.zip_entries:
            raise too_large(f"The file is an archive of more than {limits.zip_entries:,} parts.")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            self._members.setdefault(member.filename.lower(), member)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._members

    def has_folder(self, prefix: str) -> bool:
        """Whether any member's name begins so."""
        return any(name.startswith(prefix) for name in self._members)

    def read(self, name: str) -> bytes:
        """Raises FileRefused when the member is missing, damaged, encrypted or unpacks to too much."""
        member = self._members.get(name.lower())
        if member is None:
            raise unreadable(f"The file is damaged: its part {name!r} is missing.")
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise unreadable("The file is protected by a password.")
        if member.compress_type not in _METHODS:
            raise unreadable("The file is packed in a way that is not read here.")
        try:
            return self._unpack(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise unreadable(_DAMAGED) from error

    def _unpack(self, member: zipfile.ZipInfo) -> bytes:
        content = bytearray()
        # What the archive says about sizes is the sender's word; what comes out is counted.
        with self._zip.open(member) as packed:
            while step := packed.read(_STEP_BYTES):
                content += step
                self._unpacked += len(step)
                ratio = len(content) / max(member.compress_size, 1)
                if self._unpacked > self._limits.unpacked_bytes:
                    raise too_large(f"The file unpacks to more than {self._limits.unpacked_bytes:,} bytes.")
                if ratio > self._limits.zip_ratio and len(content) > _RATIO_FROM_BYTES:
                    raise too_large(f"The file unpacks to more than {self._limits.zip_ratio} times its size.")
        return bytes(content)
