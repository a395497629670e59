//! Graphs as they are read back.
