//! GStreamer: H.264 over RTP, no input.
//!
//! The bitrate is that of a good local network, as the other pairs use it; at GStreamer's default of 2 Mbit/s text could
//! not be read. Its pictures are 4:2:0, as ours: left alone the encoder would take 4:4:4, which is slower. Damage is
//! used: without it the whole screen is copied for every picture, which is slower.

use std::process::Command;

use super::{Pair, Stage, UDP, free_port, wait_for_socket};
use crate::failure::Failure;

const BITRATE_KBPS: u32 = 20_000;
const CAPS: &str = "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96";
/// Room for a key picture; more would only let a receiver fall further behind.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// The receiver first: it would miss the beginning, and without the first key picture it shows nothing.
pub(super) fn start(stage: &Stage) -> Result<Pair, Failure> {
    let port = free_port()?;
    let receiver = format!(
        "udpsrc address=127.0.0.1 port={port} buffer-size={RECEIVE_BUFFER} caps={CAPS} ! rtph264depay ! \
         avdec_h264 ! videoconvert ! ximagesink display={} sync=false",
        stage.viewer.display
    );
    let sender = format!(
        "ximagesrc display-name={} use-damage=1 ! video/x-raw,framerate=60/1 ! videoconvert ! video/x-raw,format=I420 ! \
         x264enc tune=zerolatency speed-preset=ultrafast bitrate={BITRATE_KBPS} ! rtph264pay config-interval=-1 ! \
         udpsink host=127.0.0.1 port={port} sync=false",
        stage.host.display
    );
    let mut client = stage.keeper.spawn("gstreamer-receiver", &mut launch(&receiver, stage), None)?;
    wait_for_socket(UDP, port, &mut client)?;
    let host = stage.keeper.spawn("gstreamer-sender", &mut launch(&sender, stage), None)?;
    Ok(Pair { client, host })
}

fn launch(pipeline: &str, stage: &Stage) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("--quiet").args(pipeline.split_whitespace());
    // Kept between blocks, so that the plugins are looked for once.
    command.env("GST_REGISTRY", stage.keeper.scratch().join("gstreamer-registry"));
    command
}
