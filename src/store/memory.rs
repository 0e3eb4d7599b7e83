//! The embedded store: every room in this process's memory.
