//! The gateway as a value, and sessions of devices and relays, in virtual time.

mod abuse;
mod devices;
mod relays;
mod support;
