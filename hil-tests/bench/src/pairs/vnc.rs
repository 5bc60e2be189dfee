//! Two VNC servers, each with TigerVNC's viewer.
//!
//! The viewer keeps its own choice of encoding (`AutoSelect`), which on a fast line is Tight with the best JPEG. Its
//! pause between pointer events (17 ms by default) is taken away: it would decide every measurement of motion.

use std::process::Command;

use super::{Pair, Stage, TCP, free_port, wait_for_socket};
use crate::failure::Failure;
use crate::keeper::Running;

/// x11vnc with the least waiting its manual knows.
pub(super) fn start_x11vnc(stage: &Stage) -> Result<Pair, Failure> {
    let port = free_port()?;
    let mut command = Command::new("x11vnc");
    command.args(["-display", &stage.host.display, "-rfbport", &port.to_string()]);
    command.args([
        "-localhost",
        "-noipv6",
        "-nopw",
        "-shared",
        "-forever",
        "-wait",
        "1",
        "-defer",
        "1",
        "-nap",
    ]);
    let mut host = stage.keeper.spawn("x11vnc", &mut command, None)?;
    wait_for_socket(TCP, port, &mut host)?;
    Ok(Pair { client: start_viewer(stage, port)?, host })
}

/// TigerVNC's scraping server at 60 pictures a second.
pub(super) fn start_x0tigervnc(stage: &Stage) -> Result<Pair, Failure> {
    let port = free_port()?;
    // Debian's wrapper of the name x0tigervncserver would put it into the background.
    let mut command = Command::new("X0tigervnc");
    command.args(["-display", &stage.host.display, "-rfbport", &port.to_string()]);
    command.args(["-localhost=1", "-SecurityTypes", "None", "-FrameRate", "60"]);
    let mut host = stage.keeper.spawn("x0tigervnc", &mut command, None)?;
    wait_for_socket(TCP, port, &mut host)?;
    Ok(Pair { client: start_viewer(stage, port)?, host })
}

fn start_viewer(stage: &Stage, port: u16) -> Result<Running, Failure> {
    let mut command = Command::new("xtigervncviewer");
    command.args(["-FullScreen", "-FullscreenSystemKeys=0", "-RemoteResize=0", "-SecurityTypes", "None"]);
    command.args(["-PointerEventInterval", "0", "-AlertOnFatalError=0", "-ReconnectOnError=0"]);
    command.arg(format!("127.0.0.1::{port}")).env("DISPLAY", &stage.viewer.display);
    stage.keeper.spawn("xtigervncviewer", &mut command, None)
}
