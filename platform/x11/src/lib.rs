//! X11: screen capture, cursor, input injection, and a fast presenter
