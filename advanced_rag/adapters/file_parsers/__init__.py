"""Files of twelve formats to Markdown-like text, each read in a child process of its own under hard limits."""
