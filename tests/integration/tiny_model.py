"""A sentence-transformers folder of a few kilobytes: a BERT of random weights that converts in no time of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 64
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_tiny_model(folder: Path, *, pooling: str = "mean") -> Path:
    """The folder, filled. `pooling` is mean or cls; nothing normalises, and queries have a prompt."""
    (folder / "1_Pooling").mkdir(parents=True)
    vocabulary = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    _write_tokenizer(folder, vocabulary)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": len(vocabulary),
        "pad_token_id": 0,
    }
    types = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{types}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{types}.Pooling"},
    ]
    modes = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in ("cls_token", "mean_tokens", "max_tokens")}
    files: dict[str, Any] = {
        "config.json": config,
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": POSITIONS},
        "config_sentence_transformers.json": {"prompts": {"query": "q ", "document": ""}},
        "1_Pooling/config.json": {"word_embedding_dimension": WIDTH, **modes},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    save_file(_weights(len(vocabulary)), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _write_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))


def _weights(vocabulary_size: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)

    def matrix(*shape: int) -> NDArray[np.float32]:
        return random.normal(0.0, 0.2, shape).astype(np.float32)

    weights: dict[str, NDArray[np.float32]] = {
        "embeddings.word_embeddings.weight": matrix(vocabulary_size, WIDTH),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": matrix(2, WIDTH),
        "pooler.dense.weight": matrix(WIDTH, WIDTH),
        "pooler.dense.bias": matrix(WIDTH),
    }
    normed = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        dense = {f"{at}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        dense |= {f"{at}.attention.output.dense": (WIDTH, WIDTH)}
        dense |= {f"{at}.intermediate.dense": (INNER, WIDTH), f"{at}.output.dense": (WIDTH, INNER)}
        for name, shape in dense.items():
            weights |= {f"{name}.weight": matrix(*shape), f"{name}.bias": matrix(shape[0])}
        normed += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name in normed:
        weights |= {f"{name}.weight": np.ones(WIDTH, np.float32), f"{name}.bias": np.zeros(WIDTH, np.float32)}
    return weights
