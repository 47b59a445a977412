"""Where the embedded engine lives: its program among the installed packages, its files below the data folder.

Every path follows from the data folder alone, so that other processes (workers, the command line) find the socket.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from advanced_rag.exceptions import MilvusConnectionError

_PACKAGE: Final = "milvus-lite"
_PROGRAM: Final = "milvus_lite/lib/milvus"
_PRIVATE: Final = 0o700
# sun_path of unix(7): 108 bytes with the final NUL; the BSDs, and so macOS, have 104.
_MAX_SOCKET_BYTES: Final = 107 if sys.platform == "linux" else 103
_HASH_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class EnginePlace:
    """The files of one embedded engine."""

    folder: Path
    socket: Path

    @classmethod
    def below(cls, data_dir: Path, *, temp_dir: Path | None = None) -> Self:
        """The engine's place below a data folder; touches nothing.

        A socket's path is bounded: where the data folder lies too deep, the socket lies in a folder of the user's in
        the temporary folder, under a name that is a hash of the data folder's.
        """
        folder = data_dir.resolve() / "milvus"
        socket = folder / "run" / "engine.sock"
        if len(os.fsencode(socket)) > _MAX_SOCKET_BYTES:
            name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:_HASH_DIGITS]
            private = (temp_dir or Path(tempfile.gettempdir())) / f"advanced-rag-{os.getuid()}"
            socket = private / f"{name}.sock"
        return cls(folder, socket)

    @property
    def uri(self) -> str:
        """The address, for the engine and for clients: gRPC reads it as a URI, so it is quoted as one."""
        return f"unix:{quote(os.fspath(self.socket))}"

    @property
    def database(self) -> Path:
        """The engine's data."""
        return self.folder / "engine.db"

    @property
    def owner_lock(self) -> Path:
        """Whoever holds this supervises the engine; the engine ends when nobody does. Never removed."""
        return self.folder / "owner.lock"

    @property
    def child_lock(self) -> Path:
        """Held by the running engine itself; its process id stands in it. Never removed."""
        return self.folder / "child.lock"

    @property
    def log(self) -> Path:
        """What the engine writes to its standard output and error."""
        return self.folder / "engine.log"

    def make_folders(self) -> None:
        """Both folders, for this user only.

        Raises:
            PermissionError: the socket's folder is somebody else's, or open to others: in a shared temporary folder
                anybody may have made one of that name.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
        private = self.socket.parent
        private.mkdir(exist_ok=True, mode=_PRIVATE)
        found = private.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{private} is not a folder of this user")
        if stat.S_IMODE(found.st_mode) != _PRIVATE:
            private.chmod(_PRIVATE)


def find_engine(package: str = _PACKAGE) -> Path:
    """The engine's program. The package is not imported: that needs a module which setuptools no longer has.

    Raises:
        MilvusConnectionError: this platform has none.
    """
    try:
        for file in files(package) or ():
            program = Path(str(file.locate()))
            if file.as_posix() == _PROGRAM and program.is_file():
                return program
    except PackageNotFoundError:
        pass
    raise MilvusConnectionError(
        "milvus",
        f"there is no embedded Milvus for this platform ({sys.platform}): name a server by RAG__MILVUS__URI",
        transient=False,
    )
