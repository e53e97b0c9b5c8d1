"""One file of arrays and JSON, checksummed, versioned, without pickle.

The file is an ``.npz``: a zip archive with one ``.npy`` entry per array, and one entry
``content.json`` for everything else. The archive's comment, the last bytes of the file,
holds the sha256 of all bytes before it. Nothing is parsed before that has been checked,
and nothing that is read is ever executed.
"""

import hashlib
import json
import math
import os
import platform
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy
import sklearn
import torch

from skdeepclust._plain import plain, rich
from skdeepclust._version import __version__

SCHEMA = 1
"""Number of the schema that is written, in files and in pickles."""

MIGRATIONS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By kind and schema: brings content of that schema to the next one."""

_FORMAT = "skdeepclust"
_CONTENT = "content.json"
_ZIP = b"PK\x03\x04"
_MARK = b"skdeepclust sha256 "
_DIGITS = 64  # of a sha256
_BLOCK = 2**20
_MAX_DEPTH = 100
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def migrate(
    source: str, kind: str, schema: Any, version: Any, content: dict[str, Any]
) -> dict[str, Any]:
    """Bring content of an older schema to the present one.

    Parameters
    ----------
    source : str
        What holds it, for the message.
    kind : str
        Of content.
    schema : int
        Its schema.
    version : str
        Of the package that has written it.
    content : dict
        The content.

    Returns
    -------
    dict
        Of the present schema.

    Raises
    ------
    ValueError
        If the schema is newer, or too old.
    """
    has = f"{source} has schema {schema}, written by skdeepclust {version}"
    here = f"skdeepclust {__version__}"
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(
            f"{has}: newer than schema {SCHEMA}, the newest that {here} reads. "
            "Update skdeepclust."
        )
    for older in range(schema, SCHEMA):
        if (kind, older) not in MIGRATIONS:
            raise ValueError(
                f"{has}, which {here} no longer reads. Load it with that version."
            )
        content = MIGRATIONS[kind, older](content)
    return content


# -------------------------------------------------------------------------- writing


def write(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a file, whole or not at all.

    It is written beside `path` under another name, brought to the disk, and only then
    renamed. Whatever goes wrong, what was at `path` before is still there.

    Parameters
    ----------
    path : Path
        The file; it is replaced.
    kind : str
        Of content, which `read` asks for.
    content : dict
        Dicts, lists, tuples, numbers, strings, arrays, and what `plain` takes apart.

    Raises
    ------
    TypeError
        If something else is in it.
    """
    arrays: dict[str, np.ndarray] = {}
    document = {
        "format": _FORMAT,
        "kind": kind,
        "schema": SCHEMA,
        "version": __version__,
        "written_with": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (np, scipy, sklearn, torch)},
        },
        "content": _pack(plain(content), (), arrays),
    }
    text = json.dumps(document, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x+b") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.comment = _MARK + b"0" * _DIGITS
                archive.writestr(zipfile.ZipInfo(_CONTENT), text)
                for name, array in arrays.items():
                    entry = zipfile.ZipInfo(f"{name}.npy")
                    with archive.open(entry, "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, array, allow_pickle=False)
            digest = _digest(file)
            file.seek(-_DIGITS, os.SEEK_END)
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def leftovers(path: Path) -> list[Path]:
    """List what writing `path` has left behind when it was killed.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of Path
        Temporary files.
    """
    return [*path.parent.glob(f".{path.name}.*.tmp")]


def _sync_folder(folder: Path) -> None:
    # The name must survive a power cut too, where the system can see to that.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _digest(file: BinaryIO) -> bytes:
    """Hash all of an open file but the digits at its end."""
    remaining = file.seek(0, os.SEEK_END) - _DIGITS
    file.seek(0)
    sha256 = hashlib.sha256()
    while remaining > 0 and (block := file.read(min(_BLOCK, remaining))):
        sha256.update(block)
        remaining -= len(block)
    return sha256.hexdigest().encode()


def _pack(value: Any, where: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    """Return `value` as JSON has it; its arrays go to `arrays`."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return {"$scalar": [value.dtype.str, _pack(value.item(), where, arrays)]}
    if isinstance(value, np.ndarray):
        if value.dtype != object:
            return {"$array": _put(value, where, arrays)}
        items = _pack(value.ravel().tolist(), where, arrays)
        return {"$objects": [items, list(value.shape)]}
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, list | tuple):
        items = [_pack(item, (*where, str(i)), arrays) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        if all(isinstance(key, str) and key not in _UNPACK for key in value):
            return {
                key: _pack(item, (*where, key), arrays) for key, item in value.items()
            }
        return {"$items": [_pack([*pair], where, arrays) for pair in value.items()]}
    raise TypeError(
        f"{'.'.join(where)}={value!r} is of type {type(value).__name__}, which a file "
        "without pickle cannot hold. Pass numbers, strings, lists or arrays."
    )


def _put(array: np.ndarray, where: Sequence[str], arrays: dict[str, np.ndarray]) -> str:
    name = "/".join(part for part in where if not part.startswith("$"))
    while name in arrays:
        name += "_"
    arrays[name] = array
    return name


# -------------------------------------------------------------------------- reading


def read(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of `write`.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        Of content.

    Returns
    -------
    dict
        The content.

    Raises
    ------
    ValueError
        If the file is not of this package, is damaged, holds another kind of content,
        or has a newer or a too old schema. Nothing in it is executed.
    OSError
        If it cannot be opened.
    """
    with path.open("rb") as file:
        _check(file, path)
        with parsing(path), zipfile.ZipFile(file) as archive:
            document = _parse(archive.read(_CONTENT))
            arrays = {
                entry.removesuffix(".npy"): _read_array(archive, entry)
                for entry in archive.namelist()
                if entry != _CONTENT
            }
            found, schema = document["kind"], document["schema"]
            version = document["version"]
            content = dict(_unpack(document["content"], arrays))
    if found != kind:
        raise ValueError(f"{path} holds a {found}, and {kind} was to be read.")
    content = migrate(str(path), kind, schema, version, content)
    with parsing(path):
        return dict(rich(content))


@contextmanager
def parsing(path: Path, hint: str = "") -> Iterator[None]:
    """Name the file in whatever goes wrong with its content.

    The checksum was right, so this is a file that somebody has made.

    Parameters
    ----------
    path : Path
        The file.
    hint : str, default=""
        Ends the message.

    Yields
    ------
    None
        The scope.
    """
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read, {type(error).__name__}: {error}{hint}"
        ) from error


def _check(file: BinaryIO, path: Path) -> None:
    """Refuse what is not a whole file of `write`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(len(_ZIP))
    if head != _ZIP:
        raise ValueError(f"{path} is not a file of skdeepclust, or it is damaged.")
    file.seek(max(0, size - _DIGITS - len(_MARK)))
    end = file.read()
    if not end.startswith(_MARK):
        raise ValueError(
            f"{path} is not a file of skdeepclust, or it is damaged: it does not end "
            "with a checksum."
        )
    if end.removeprefix(_MARK) != _digest(file):
        raise ValueError(
            f"{path} is damaged: its checksum is not that of its content. Restore it "
            "from a copy, or make it anew."
        )


def _parse(text: bytes) -> Any:
    # The parser of JSON recurses: deep enough, it would take the process down.
    brackets = np.frombuffer(_STRING.sub(b"", text), dtype=np.uint8)
    opened = np.isin(brackets, [*b"[{"]).cumsum()
    depth = opened - np.isin(brackets, [*b"]}"]).cumsum()
    if depth.max(initial=0) > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    return json.loads(text)


def _read_array(archive: zipfile.ZipFile, entry: str) -> np.ndarray:
    with archive.open(entry) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((tag, packed),) = value.items()
            if tag in _UNPACK:
                return _UNPACK[tag](packed, arrays)
        return {key: _unpack(item, arrays) for key, item in value.items()}
    return value


def _unpack_objects(packed: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    items, shape = packed
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = _unpack(item, arrays)
    return array.reshape(shape)


_UNPACK: dict[str, Callable[[Any, dict[str, np.ndarray]], Any]] = {
    "$array": lambda packed, arrays: arrays[packed],
    "$scalar": lambda packed, arrays: np.dtype(packed[0]).type(
        _unpack(packed[1], arrays)
    ),
    "$objects": _unpack_objects,
    "$float": lambda packed, arrays: float(packed),
    "$tuple": lambda packed, arrays: tuple(_unpack(packed, arrays)),
    "$items": lambda packed, arrays: dict(_unpack(packed, arrays)),
}
