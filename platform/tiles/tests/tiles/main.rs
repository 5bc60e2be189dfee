//! Tests of the tile codec through its public interface.

mod round_trips;
mod scenes;
mod support;
