"""From a torch model to graphs for OpenVINO. Imports torch and nncf, so only the converting child imports this."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

# First: it keeps OpenVINO's telemetry out, and nncf's with it.
from advanced_rag.adapters.embedding_model.openvino_runtime import openvino  # isort: skip

import nncf  # type: ignore[import-untyped]  # it has no types
import torch
from nncf.quantization.advanced_parameters import (  # type: ignore[import-untyped]
    AdvancedQuantizationParameters,
    AdvancedSmoothQuantParameters,
)

from advanced_rag.adapters.embedding_model.openvino_model import ATTENTION_MASK, INPUT_IDS, TokenIds

# Smoothing moves outliers from activations into weights; 0.5 (half of them) lost least on the probe texts, 0.95 most.
_SMOOTHING: Final = 0.5
_EMBEDDING_LOOKUP: Final = "Gather"
_EXAMPLE_TEXTS: Final = 2
_EXAMPLE_TOKENS: Final = 16


class _UnitVectors(torch.nn.Module):
    """Transformer, pooling and normalisation in one: token ids in, unit vectors out."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self.encoder({INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask})
        vectors: torch.Tensor = features["sentence_embedding"]
        return torch.nn.functional.normalize(vectors, p=2.0, dim=1)


def float_graph(encoder: torch.nn.Module) -> openvino.Model:
    """The module of a sentence-transformers model as a graph, for any number of texts of any length."""
    example = torch.ones((_EXAMPLE_TEXTS, _EXAMPLE_TOKENS), dtype=torch.int64)
    shape = openvino.PartialShape([-1, -1])
    graph: openvino.Model = openvino.convert_model(
        _UnitVectors(encoder).eval(),
        example_input={INPUT_IDS: example, ATTENTION_MASK: example},
        input=[(INPUT_IDS, shape, openvino.Type.i64), (ATTENTION_MASK, shape, openvino.Type.i64)],
    )
    return graph


def int8_graph(graph: openvino.Model, tokens: TokenIds, batches: Sequence[Sequence[str]]) -> openvino.Model:
    """The graph with int8 weights and activations, calibrated on batches of text.

    The projections back from the wide layer are kept out of the calibration: their inputs have outliers that no fixed
    scale fits, and they alone cost most of the accuracy (cosine 0.987 against 0.997 on the probe texts). Their weights
    become int8 all the same, their inputs are quantised as they come. Embedding tables stay as they are: int8 ones
    would be unpacked into memory at every start, where f32 ones are only mapped.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    narrowing = _narrowing_layers(graph)
    dataset = nncf.Dataset(batches, lambda batch: tokens.padded(tokens.encode(batch)))
    quantised = nncf.quantize(
        graph,
        dataset,
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=narrowing, types=[_EMBEDDING_LOOKUP]),
        advanced_parameters=AdvancedQuantizationParameters(
            smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=_SMOOTHING),
            disable_bias_correction=True,  # changed the cosines by less than 0.0001, for a quarter of the time
        ),
    )
    calibrated = [name for name in map(_name, _linear_layers(quantised)) if name not in narrowing]
    compressed: openvino.Model = nncf.compress_weights(
        quantised,
        ignored_scope=nncf.IgnoredScope(names=calibrated, types=[_EMBEDDING_LOOKUP], validate=False),
    )
    return compressed


def _name(node: Any) -> str:
    name: str = node.get_friendly_name()
    return name


def _linear_layers(graph: openvino.Model) -> list[Any]:
    return [node for node in graph.get_ops() if node.get_type_name() == "MatMul"]


def _narrowing_layers(graph: openvino.Model) -> list[str]:
    """Names of the linear layers with more inputs than outputs."""
    names = []
    for node in _linear_layers(graph):
        weights = node.input_value(1).get_partial_shape()
        if weights.is_static and len(weights) == 2:  # (outputs, inputs), as torch keeps them
            outputs, inputs = weights.to_shape()
            if inputs > outputs:
                names.append(_name(node))
    return names
