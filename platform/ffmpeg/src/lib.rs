//! H.264 decoding by libavcodec
