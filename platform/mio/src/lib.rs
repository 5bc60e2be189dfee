//! RIFT over UDP sockets on std, driven by mio
