"""Settings: `config.yaml`, then the environment (`RAG__SECTION__NAME`), then nothing else reads either.

Every number that an operator may want to change is here with its unit in its name; every name that looks like ours and
means nothing stops the start, with the nearest known one suggested.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from advanced_rag.domain.documents import Lane
from advanced_rag.domain.extraction import GROUNDED_SCORE
from advanced_rag.domain.filter_fields import check_declared_fields
from advanced_rag.domain.filters import FieldType
from advanced_rag.domain.fusion import FusionMethod

PREFIX: Final = "RAG__"
CONFIG_FILE_VARIABLE: Final = "RAG__CONFIG_FILE"
METRICS_DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
MASK: Final = "********"
_URL_PASSWORD: Final = re.compile(r"(?P<before>://[^:/@\s]*:)[^@/\s]+(?=@)")


class ConfigurationError(Exception):
    """The settings cannot be used; str(error) says which name and why."""


class Section(BaseModel):
    """A group of settings: frozen, and unknown names in it are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where `python -m advanced_rag serve` listens, and how long requests may take."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    workers: PositiveInt = 1
    retrieve_deadline_s: PositiveFloat = 6.0
    chat_deadline_s: PositiveFloat = 60.0
    ingest_deadline_s: PositiveFloat = 300.0
    default_deadline_s: PositiveFloat = 10.0
    max_deadline_s: PositiveFloat = 300.0


class GuardSettings(Section):
    """Retry, bulkhead and breaker of every dependency (reliability sections 1 to 3)."""

    max_attempts: PositiveInt = 3
    backoff_base_s: PositiveFloat = 0.05
    backoff_max_s: PositiveFloat = 1.0
    retry_budget: PositiveInt = 10
    retry_budget_ratio: PositiveFloat = 0.1
    breaker_window: PositiveInt = 100
    breaker_window_s: PositiveFloat = 30.0
    breaker_minimum_calls: PositiveInt = 20
    breaker_failure_ratio: float = Field(default=0.8, gt=0, le=1)
    breaker_slow_ratio: float = Field(default=0.8, gt=0, le=1)
    breaker_consecutive_failures: PositiveInt = 10
    breaker_open_s: PositiveFloat = 5.0
    breaker_open_max_s: PositiveFloat = 30.0
    breaker_half_open_permits: PositiveInt = 3


class MilvusSettings(Section):
    """Milvus: a server's URI, or empty for the embedded engine."""

    uri: str = ""
    token: SecretStr = SecretStr("")
    search_timeout_s: PositiveFloat = 5.0
    upsert_timeout_s: PositiveFloat = 30.0
    load_timeout_s: PositiveFloat = 30.0
    semantic_permits: PositiveInt = 10
    sparse_permits: PositiveInt = 10
    domain_permits: PositiveInt = 5
    permit_wait_s: PositiveFloat = 0.5
    waiters_per_permit: PositiveInt = 20
    upsert_batch_rows: PositiveInt = 256


class DatabaseSettings(Section):
    """The database of record: SQLAlchemy's URL, or empty for a SQLite file below `data_dir`."""

    url: str = ""
    pool_size: PositiveInt = 10
    max_overflow: NonNegativeInt = 0
    pool_timeout_s: PositiveFloat = 2.0
    pool_recycle_s: PositiveFloat = 1_800.0
    pre_ping: bool = True
    statement_timeout_s: PositiveFloat = 5.0
    prepared_statements: bool = False
    application_name: str = "advanced-rag"
    slow_call_s: PositiveFloat = 0.5
    waiters_per_permit: PositiveInt = 20

    @field_validator("url")
    @classmethod
    def _with_async_driver(cls, url: str) -> str:
        for plain, driver in (("postgresql://", "postgresql+asyncpg://"), ("postgres://", "postgresql+asyncpg://")):
            if url.startswith(plain):
                return driver + url.removeprefix(plain)
        if url and not url.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite://")):
            raise ValueError("must start with postgresql+asyncpg:// or sqlite+aiosqlite://")
        return url


class RedisSettings(Section):
    """Redis, for what replicas share; empty: memory."""

    url: str = ""


class RateLimitSettings(Section):
    """Rate limits."""

    enabled: bool = False


class EmbeddingSettings(Section):
    """What turns text into vectors. `auto` is the best local backend of this version."""

    backend: Literal["auto", "openvino", "torch", "http"] = "auto"
    model: str = "all-MiniLM-L6-v2"
    models_dir: Path | None = None  # where converted models are kept; not set: below data_dir
    batch_size: PositiveInt = 32
    threads: PositiveInt = 2
    query_timeout_s: PositiveFloat = 10.0
    document_timeout_s: PositiveFloat = 120.0
    permits: PositiveInt = 256
    slow_call_s: PositiveFloat = 2.0


class LanguageModelSettings(Section):
    """An OpenAI-compatible server for answers; empty: extractive answers."""

    base_url: str = ""
    model: str = ""
    api_key: SecretStr = SecretStr("")


class FeatureSettings(Section):
    """Switches; each off means that its calls are not made."""

    enable_reranking: bool = False
    enable_sparse_search: bool = True
    enable_domain_search: bool = True
    enable_mmr: bool = False
    enable_cache: bool = True


class EmbeddingCacheSettings(Section):
    """The cache of query vectors."""

    enabled: bool = True
    max_size: PositiveInt = 10_000
    ttl_seconds: PositiveFloat = 3_600.0
    eviction_policy: Literal["lru", "lfu", "fifo"] = "lru"


class CacheSettings(Section):
    """Caches."""

    embeddings: EmbeddingCacheSettings = EmbeddingCacheSettings()


class LogSettings(Section):
    """Logging: JSON lines on standard output."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    queue_size: PositiveInt = 10_000


class ChunkingSettings(Section):
    """How documents are cut; in tokens of the embedding model's own tokenizer."""

    max_tokens: int = Field(default=256, ge=16)
    overlap_tokens: NonNegativeInt = 16

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> Self:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError("overlap_tokens must be at most half of max_tokens")
        return self


class RetrievalSettings(Section):
    """How lanes are asked and fused."""

    fusion: FusionMethod = FusionMethod.DBSF
    weights: dict[Lane, NonNegativeFloat] = Field(default_factory=lambda: dict.fromkeys(Lane, 1.0))
    candidates: PositiveInt = 100
    lane_cutoff_s: PositiveFloat = 1.0
    lane_cutoff_after_first_s: PositiveFloat = 0.25
    database_timeout_s: PositiveFloat = 0.5
    degraded_reads: Literal["allow", "deny"] = "allow"


class AnswerSettings(Section):
    """Extractive answers."""

    max_sentences: PositiveInt = 3
    max_candidates: PositiveInt = 40
    grounded_score: float = Field(default=GROUNDED_SCORE, ge=0, le=1)
    require_grounding: bool = True


class IngestSettings(Section):
    """How documents go in."""

    documents_per_group: PositiveInt = 32
    groups_in_flight: PositiveInt = 2
    lease_s: PositiveFloat = 300.0  # at least the ingest deadline: a version under way is never swept
    grace_s: PositiveFloat = 60.0
    sweep_interval_s: PositiveFloat = 10.0
    sweep_batch: PositiveInt = 200
    reconcile_interval_s: PositiveFloat = 45.0
    reconcile_page: PositiveInt = 1_000
    reconcile_batch: PositiveInt = 256
    reconcile_pause_s: NonNegativeFloat = 0.05
    progress_interval_s: PositiveFloat = 2.0


class StorageSettings(Section):
    """Room to keep free on the disks of `data_dir` and of temporary files: below the larger one nothing is taken in."""

    min_free_bytes: NonNegativeInt = 500_000_000
    min_free_ratio: float = Field(default=0.05, ge=0, lt=1)


class JobSettings(Section):
    """Ingest jobs. `runners` of the serving process; 0 leaves the work to `python -m advanced_rag worker`."""

    runners: NonNegativeInt = 1
    lease_s: PositiveFloat = 30.0
    heartbeat_s: PositiveFloat = 10.0
    poll_s: PositiveFloat = 1.0
    look_interval_s: PositiveFloat = 0.5
    max_attempts: PositiveInt = 3
    backoff_base_s: PositiveFloat = 1.0
    backoff_max_s: PositiveFloat = 60.0
    retention_days: PositiveInt = 7

    @model_validator(mode="after")
    def _beats_within_the_lease(self) -> Self:
        if self.heartbeat_s * 2 > self.lease_s:
            raise ValueError("heartbeat_s must be at most half of lease_s: one lost heartbeat must not lose the lease")
        return self


class IdempotencySettings(Section):
    """Requests with an `Idempotency-Key`: how long a dead one keeps its key, and how long answers are kept."""

    lease_s: PositiveFloat = 60.0
    keep_s: PositiveFloat = 86_400.0


class UploadSettings(Section):
    """Files: how many are read at once, each in a process of its own, and what reading one may cost."""

    parsers: PositiveInt = 2
    max_waiting_files: PositiveInt = 64
    parse_wait_s: PositiveFloat = 120.0
    parse_wall_s: PositiveFloat = 30.0
    parse_cpu_s: PositiveInt = 20
    parse_memory_bytes: PositiveInt = 1_000_000_000
    max_text_bytes: PositiveInt = 8_000_000
    max_upload_text_chars: PositiveInt = 32_000_000


class SessionSettings(Section):
    """Conversations."""

    retention_days: NonNegativeInt = 0  # 0: kept for ever
    retention_interval_s: PositiveFloat = 600.0
    retention_batch: PositiveInt = 100
    history_max_tokens: PositiveInt = 2_000
    history_max_messages: PositiveInt = 20


class FilterSettings(Section):
    """Metadata fields that can be filtered on, with their types."""

    fields: dict[str, FieldType] = Field(
        default_factory=lambda: {
            "source": FieldType.STRING,
            "lang": FieldType.STRING,
            "author": FieldType.STRING,
            "type": FieldType.STRING,
            "year": FieldType.INT,
            "created_at": FieldType.DATETIME,
            "tags": FieldType.STRINGS,
        }
    )

    @field_validator("fields")
    @classmethod
    def _nameable(cls, fields: dict[str, FieldType]) -> dict[str, FieldType]:
        check_declared_fields(fields)
        return fields


class DomainSettings(Section):
    """The domain lane: which sentence-transformers model encodes which domain."""

    encoders: dict[str, str] = Field(default_factory=dict)


class HealthSettings(Section):
    """The prober and what readiness asks for."""

    interval_s: PositiveFloat = 5.0
    failing_interval_s: PositiveFloat = 2.0
    timeout_s: PositiveFloat = 1.0
    unavailable_after_s: PositiveFloat = 10.0


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    data_dir: Path = Path("data")
    server: ServerSettings = ServerSettings()
    guards: GuardSettings = GuardSettings()
    milvus: MilvusSettings = MilvusSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    llm: LanguageModelSettings = LanguageModelSettings()
    features: FeatureSettings = FeatureSettings()
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    answers: AnswerSettings = AnswerSettings()
    ingest: IngestSettings = IngestSettings()
    storage: StorageSettings = StorageSettings()
    jobs: JobSettings = JobSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    uploads: UploadSettings = UploadSettings()
    sessions: SessionSettings = SessionSettings()
    filters: FilterSettings = FilterSettings()
    domain: DomainSettings = DomainSettings()
    health: HealthSettings = HealthSettings()

    @model_validator(mode="after")
    def _deadline_holds_one_attempt(self) -> Self:
        # Otherwise a hanging Milvus is only ever cancelled by the deadline and never counted by its breaker.
        if self.server.retrieve_deadline_s <= self.milvus.search_timeout_s:
            raise ValueError("server.retrieve_deadline_s must be longer than milvus.search_timeout_s")
        return self

    @property
    def database_url(self) -> str:
        """The URL in force: the configured one, or the embedded SQLite file's."""
        return self.database.url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'rag.sqlite3'}"

    @property
    def database_is_embedded(self) -> bool:
        """Whether the database is our own file, migrated by ourselves at start."""
        return not self.database.url

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before the environment before the file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config_file())


def config_file() -> Path:
    """The file in force: `RAG__CONFIG_FILE`, else `config.yaml` beside the package."""
    return Path(os.environ.get(CONFIG_FILE_VARIABLE) or PROJECT_ROOT / "config.yaml")


def metrics_directory() -> Path | None:
    """Where the workers of one service put their metrics together, or None for a single process.

    The name is prometheus_client's, which reads it itself when it is imported.
    """
    directory = os.environ.get(METRICS_DIRECTORY_VARIABLE)
    return Path(directory) if directory else None


def known_names(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> list[str]:
    """Every environment name that means something, sections first."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        full = f"{prefix}{name.upper()}"
        names.append(full)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names.extend(known_names(info.annotation, f"{full}__"))
    return names


def unknown_names(environment: Iterable[str]) -> list[str]:
    """Names that look like ours and mean nothing; pydantic-settings would pass some of them over in silence."""
    known = set(known_names()) | {CONFIG_FILE_VARIABLE}
    open_ended = tuple(f"{PREFIX}{name}__" for name in ("FILTERS__FIELDS", "DOMAIN__ENCODERS", "RETRIEVAL__WEIGHTS"))
    ours = (name for name in environment if re.match(r"RAG_+[A-Z]", name.upper()))
    return sorted(name for name in ours if name.upper() not in known and not name.upper().startswith(open_ended))


def _complaint(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    return f"unknown setting {name}" + (f": did you mean {nearest[0]}?" if nearest else "")


def _location(error: Mapping[str, Any]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in error["loc"]) if error["loc"] else "settings"


def load_settings(**overrides: Any) -> Settings:
    """The settings in force.

    Raises:
        ConfigurationError: an unknown name, in the file or the environment, or a value that cannot be used. The refused
            value is not repeated: it may be a secret.
    """
    known = known_names()
    if unknown := unknown_names(os.environ):
        raise ConfigurationError("\n".join(_complaint(name, known) for name in unknown))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [
            _complaint(_location(item), known)
            if item["type"] == "extra_forbidden"
            else f"{_location(item)}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from None


def masked_url(url: str) -> str:
    """The URL without its password."""
    return _URL_PASSWORD.sub(rf"\g<before>{MASK}", url)


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return {str(key): _masked(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    return masked_url(value) if isinstance(value, str) else value


def effective_settings(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, secrets masked."""
    masked: dict[str, Any] = _masked(settings.model_dump())
    return masked
