//! H.264 encoding by libx264
