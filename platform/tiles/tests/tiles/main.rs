//! Tests of the tile codec through its public interface.

mod scenes;
mod support;
