"""Numbers fixed by a paper, an RFC or a wire format; everything an operator may want to change is in `config`."""

from __future__ import annotations

from typing import Final

# Cormack, Clarke & Büttcher, SIGIR 2009.
RRF_K: Final = 60
# Robertson et al., TREC-3; the values that Lucene ships.
BM25_K1: Final = 1.2
BM25_B: Final = 0.75

# reliability.md R8.7: sizes a request may have.
MAX_DOCUMENTS_PER_INGEST: Final = 1_000
MAX_TEXT_BYTES: Final = 2_000_000
MAX_TITLE_CHARS: Final = 1_000
MAX_QUERY_CHARS: Final = 4_000
MAX_MESSAGE_CHARS: Final = 16_000
MAX_METADATA_BYTES: Final = 16_384
MAX_METADATA_KEYS: Final = 64
MAX_TOP_K: Final = 100
MAX_JSON_BODY_BYTES: Final = 1_000_000
MAX_INGEST_BODY_BYTES: Final = 32_000_000
MAX_JSON_DEPTH: Final = 32
MAX_FILTER_DEPTH: Final = 5
MAX_FILTER_NODES: Final = 50
MAX_FILTER_LIST: Final = 1_000
MAX_FILTER_STRING_BYTES: Final = 1_024
MAX_ID_CHARS: Final = 128

# reliability.md R8.7, R8.11: what an upload may be made of. RFC 2046, section 5.1.1, allows 70 characters of boundary.
MAX_UPLOAD_BODY_BYTES: Final = 64_000_000
MAX_UPLOAD_FILES: Final = 20
MAX_PART_HEADER_BYTES: Final = 8_192
MAX_FORM_FIELD_BYTES: Final = 65_536
MAX_BOUNDARY_CHARS: Final = 70
MAX_FILE_NAME_CHARS: Final = 255

# Milvus refuses a search limit above this (seen with 2.5.1; also the server's default).
MILVUS_MAX_LIMIT: Final = 16_384

INT64_MAX: Final = 2**63 - 1
MICROSECONDS_PER_SECOND: Final = 1_000_000
MILLISECONDS_PER_SECOND: Final = 1_000
SECONDS_PER_DAY: Final = 86_400
