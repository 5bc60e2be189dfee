//! Wavry's viewer: shows and steers a host
