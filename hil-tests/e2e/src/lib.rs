//! End-to-end tests with real X servers, shells and sockets
