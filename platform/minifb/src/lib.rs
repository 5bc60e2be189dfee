//! The client's portable window by minifb
