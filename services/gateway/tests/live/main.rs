//! The gateway on sockets of this machine: devices, operators and their page, and others' programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod gateway;
mod operators;
mod page;
mod support;
