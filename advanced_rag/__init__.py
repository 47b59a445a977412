"""Advanced RAG: hybrid retrieval and cited answers in front of Milvus, built to keep answering."""

__version__ = "0.1.0"
