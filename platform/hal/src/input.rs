//! Where a host's input goes.

use rift::InputEvent;

/// Acts on the host's devices: XTEST, uinput, a USB gadget.
///
/// Dropping a sink releases what it holds.
pub trait InputSink {
    /// Why an event could not be injected.
    type Error: core::error::Error;

    /// Injects one event now. Events come in the order in which they happened at the client.
    ///
    /// # Errors
    /// The backend's own; the event is then lost and nothing else has changed.
    fn inject(&mut self, event: &InputEvent) -> Result<(), Self::Error>;

    /// Makes everything injected so far take effect (flushes a connection). Called after each batch.
    ///
    /// # Errors
    /// The backend's own.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Lets go of every key and button this sink holds down. Idempotent.
    ///
    /// # Errors
    /// The backend's own; whatever could be released has been.
    fn release_all(&mut self) -> Result<(), Self::Error>;
}
