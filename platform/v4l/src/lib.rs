//! V4L2 capture cards as a video source
