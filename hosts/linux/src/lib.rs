//! Wavry's Linux host: shares a screen, a capture card or an application
