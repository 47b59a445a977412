"""The relational database: Postgres through asyncpg, SQLite through aiosqlite, one code for both."""
