"""The folders of an export: whose they are, and how far a run that was stopped had come.

Contract: `export.json` in a specimen's folder says what the export is made of; it is written before the first cell. A
cell is complete when its `truth.json` is there, which is written last.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oidn_jax.data.atomic import write_json
from oidn_jax.errors import InputError

IDENTITY = "export.json"


def prepare(folders: tuple[Path, ...], identity: Mapping[str, Any], *, overwrite: bool) -> None:
    """Makes the first of the folders ready for an export: new, the same one gone on with, or another one replaced.

    Args:
        folders: of the specimen: its cells, which `export.json` is kept with, and its patches.
        identity: what the export is made of, for JSON.
        overwrite: remove the export of another identity.

    Raises:
        InputError: for folders that hold something else, or cannot be written.
    """
    home = folders[0]
    for path in (*reversed(home.parents), *folders):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; choose another `out`")
    if any(folder.is_dir() and any(folder.iterdir()) for folder in folders):
        if _read_identity(home / IDENTITY) == json.loads(json.dumps(identity)) and not overwrite:
            return
        if not (home / IDENTITY).is_file():
            raise InputError(f"{home} holds data that are no export of ours; choose another `out`")
        if not overwrite:
            raise InputError(
                f"{home} holds an export with other settings; allow `overwrite` to remove it, or choose another `out`"
            )
        try:
            for folder in filter(Path.exists, folders):
                shutil.rmtree(folder)
        except OSError as error:
            # What is left must not be taken for cells of the new export.
            raise InputError(f"{home} cannot be removed ({error.strerror}); choose another `out`") from error
    write_json(home / IDENTITY, identity)


def _read_identity(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
