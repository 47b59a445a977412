"""Milvus: the embedded engine or a server, one code path; this folder is the only one that imports pymilvus."""

import os

# Before grpc is imported: its handlers around fork() log a line for each child that this process starts, and have ended
# such a child before it was anybody (grpcio 1.85). Our children exec at once and need none of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
