"""Milvus: the embedded engine or a server, one code path; this folder is the only one that imports pymilvus."""
